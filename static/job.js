// The job page while its job runs: polls for changes and shows them.
//
// Figures are written where they stand. When the state changes, or a curve grows, the page itself
// is asked for again and its parts are taken over, so that all drawing is done on the server.
// A job that rests or is over is looked at again only when somebody comes back to the page: it may
// have been resumed elsewhere.

const FASTEST = 1000; // milliseconds between requests
const SLOWEST = 5000;
const AFTER_TROUBLE = 30000;
const REDRAW = 5000; // between two looks at the curves

class FtJob extends HTMLElement {
  connectedCallback() {
    this.since = Number(this.dataset.since) || 0;
    this.wait = FASTEST;
    this.redrawn = Date.now();
    this.curvesAreOld = false;
    this.resting = !this.hasAttribute("data-active");
    this.over = new AbortController();
    const wake = () => this.wake();
    const options = { signal: this.over.signal };
    document.addEventListener("visibilitychange", wake, options);
    window.addEventListener("online", wake, options);
    window.addEventListener("pageshow", wake, options);
    this.plan();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.over.abort();
  }

  // A tab that is seen again, or a laptop that slept, wants to know at once.
  wake() {
    this.wait = FASTEST;
    clearTimeout(this.timer);
    if (document.hidden) return;
    this.woken = this.asking; // the answer that is on its way may be older
    this.ask();
  }

  plan() {
    clearTimeout(this.timer);
    if (!document.hidden && !this.resting && !this.over.signal.aborted) {
      this.timer = setTimeout(() => this.ask(), this.wait);
    }
  }

  async ask() {
    if (this.asking || this.over.signal.aborted) return;
    this.asking = true;
    try {
      const job = await this.get(`${this.dataset.json}?since=${this.since}`, (r) => r.json());
      await this.take(job);
    } catch (error) {
      if (this.over.signal.aborted) return;
      this.wait = Math.min(this.wait * 2, AFTER_TROUBLE);
      this.say("trouble", `No answer from the server (${error.message}): asking again.`);
    } finally {
      this.asking = false;
    }
    if (this.woken) this.wake();
    else this.plan();
  }

  async get(url, read) {
    const response = await fetch(url, {
      signal: AbortSignal.any([this.over.signal, AbortSignal.timeout(15000)]),
    });
    if (!response.ok) throw new Error(String(response.status));
    return read(response);
  }

  async take(job) {
    const events = job.events || [];
    const changed = job.updated_at !== this.updated || events.length > 0;
    this.updated = job.updated_at;
    this.wait = changed ? FASTEST : Math.min(this.wait * 1.3, SLOWEST);
    for (const name of ["state_text", "step", "rows_text", "money_text"]) {
      this.say(name, job[name] ?? "");
    }
    this.querySelector('[data-live="updated_at"]').replaceChildren(when(job.updated_at));
    this.say("trouble", "");
    this.show(job.share);
    this.add(events);
    const actions = job.actions.join(" ");
    const turned = job.state !== this.dataset.state || actions !== this.dataset.actions;
    const due = this.curvesAreOld && Date.now() - this.redrawn > REDRAW;
    if (turned || due) {
      await this.redraw();
      this.dataset.state = job.state;
      this.dataset.actions = actions;
    }
    // What happened while nobody looked may be more than one answer holds.
    this.resting = !job.active && events.length === 0;
  }

  say(name, text) {
    const place = this.querySelector(`[data-live="${name}"]`);
    if (!place || place.textContent === text) return;
    place.textContent = text;
    if (name === "trouble") place.hidden = !text;
  }

  show(share) {
    const bar = this.querySelector(".ft-now progress");
    if (!bar || share === null) return;
    bar.value = share;
    this.say("percent", `${Math.floor(share * 100)}%`);
  }

  add(events) {
    const list = this.querySelector("[data-events]");
    for (const event of events) {
      this.since = Math.max(this.since, event.id);
      this.curvesAreOld ||= event.data !== null && "step" in event.data;
      if (!list) continue;
      list.append(line(event));
      list.closest("section").hidden = false;
    }
  }

  async redraw() {
    const text = await this.get(location.href, (response) => response.text());
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = (selector) => page.querySelector(`ft-job ${selector}`);
    for (const part of this.querySelectorAll("[data-part]")) {
      const other = fresh(`[data-part="${part.dataset.part}"]`);
      if (other && other.innerHTML !== part.innerHTML) replace(part, other);
    }
    const state = this.querySelector('[data-live="state"]');
    state.replaceChildren(...(fresh('[data-live="state"]')?.childNodes ?? []));
    const bar = this.querySelector(".ft-progress");
    const other = fresh(".ft-progress");
    if (bar && other) bar.replaceChildren(...other.childNodes);
    document.title = page.title;
    this.redrawn = Date.now();
    this.curvesAreOld = false;
  }
}

// What was folded out stays so, and whoever stood on a button still does if it is there.
function replace(part, other) {
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const name = (item) => item.value || item.textContent;
  const focused = part.contains(document.activeElement) && name(document.activeElement);
  part.replaceChildren(...other.childNodes);
  part.querySelectorAll("details").forEach((details, i) => (details.open = open[i] ?? false));
  if (focused) {
    const items = [...part.querySelectorAll('input[type="submit"], a, summary')];
    (items.find((item) => name(item) === focused) ?? items[0])?.focus();
  }
}

function line(event) {
  const item = document.createElement("li");
  const message = document.createElement("span");
  message.dir = "auto";
  message.textContent = event.message;
  item.append(when(event.at), " ");
  if (event.level === "warning") {
    const warning = document.createElement("strong");
    warning.textContent = "Warning:";
    item.append(warning, " ");
  }
  item.append(message);
  return item;
}

// As templates/ftclassify/words.html writes a moment.
function when(iso) {
  const time = document.createElement("time");
  time.dateTime = iso;
  time.textContent = iso.replace("T", " ").replace("Z", " UTC");
  return time;
}

customElements.define("ft-job", FtJob);
