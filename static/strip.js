// A slim strip on a page of Datasette's: running jobs of its table, and classifiers that its
// SQL names and that do not answer.
//
// What to say and where to ask stands in this script's own address: the page has no place for it.

const EVERY = 2000; // milliseconds
const SLOWEST = 30000;
const here = new URL(import.meta.url);

class FtStrip extends HTMLElement {
  connectedCallback() {
    this.wait = EVERY;
    this.known = new Map();
    this.className = "ft-strip";
    this.setAttribute("role", "status");
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.ask();
    });
    this.ask();
  }

  async ask() {
    if (this.asking || this.over) return;
    this.asking = true;
    clearTimeout(this.timer);
    try {
      const response = await fetch(here.searchParams.get("jobs"));
      if (!response.ok) throw new Error(String(response.status));
      this.show((await response.json()).jobs);
      this.wait = EVERY;
    } catch {
      this.wait = Math.min(this.wait * 2, SLOWEST);
    } finally {
      this.asking = false;
    }
    if (!document.hidden && !this.over) this.timer = setTimeout(() => this.ask(), this.wait);
  }

  show(jobs) {
    const active = new Set(jobs.map((job) => job.id));
    for (const job of jobs) this.row(job);
    for (const [id, row] of this.known) {
      if (!active.has(id)) this.end(id, row);
    }
    this.over = jobs.length === 0;
  }

  row(job) {
    let row = this.known.get(job.id);
    if (!row) {
      row = document.createElement("p");
      row.dataset.writes = job.writes_rows;
      const link = document.createElement("a");
      link.href = job.url;
      link.dir = "auto";
      link.textContent = job.title;
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.setAttribute("aria-label", `Progress of job ${job.id}`);
      // Read out once, and not again at every figure.
      const figures = document.createElement("span");
      figures.setAttribute("aria-live", "off");
      row.append(link, " ", bar, " ", figures);
      this.append(row);
      this.known.set(job.id, row);
    }
    const bar = row.querySelector("progress");
    if (job.share !== null) bar.value = job.share;
    // Without a share, a bar moves while a job runs, and only then.
    bar.hidden = job.share === null && job.state !== "running";
    const percent = job.share === null ? "" : `${Math.floor(job.share * 100)}%`;
    const figures = row.querySelector("span");
    const text = [job.state === "running" ? "" : job.state, percent].filter(Boolean).join(", ");
    if (figures.textContent !== text) figures.textContent = text;
  }

  end(id, row) {
    this.known.delete(id);
    row.querySelector("progress").remove();
    const next = document.createElement("a");
    const wrote = row.dataset.writes === "true";
    next.href = wrote ? location.href : row.querySelector("a").href;
    next.textContent = wrote ? "reload this page to see what it wrote" : "see what became of it";
    const said = row.querySelector("span");
    said.removeAttribute("aria-live");
    said.replaceChildren("is no longer running: ", next);
  }
}

customElements.define("ft-strip", FtStrip);

const content = document.querySelector("section.content");
const heads = content?.querySelectorAll(":scope > .page-header, :scope > .page-action-menu");
const head = heads && [...heads].at(-1);

function place(strip) {
  if (head) head.after(strip);
  else content?.prepend(strip);
}

if (here.searchParams.get("jobs")) place(document.createElement("ft-strip"));

const said = here.searchParams.getAll("say");
if (said.length) {
  const strip = document.createElement("div");
  strip.className = "ft-strip";
  strip.setAttribute("role", "status");
  for (const sentence of said) {
    const row = document.createElement("p");
    const text = document.createElement("span");
    text.dir = "auto";
    text.textContent = sentence;
    const link = document.createElement("a");
    link.href = here.searchParams.get("see");
    link.textContent = "See the classifiers";
    row.append(text, " ", link);
    strip.append(row);
  }
  place(strip);
}
