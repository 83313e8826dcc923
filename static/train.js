// The page that prepares a training, made livelier: examples follow what is typed, and findings
// appear when the check has ended. Everything works without this, with the buttons.

const PAUSE = 350; // ms after the last key
const EVERY = 1000; // ms between looks at a check

class Preview extends HTMLElement {
  connectedCallback() {
    this.form = document.getElementById(this.dataset.form);
    this.later = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.update(), PAUSE);
    };
    this.form.addEventListener("input", this.later);
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.form.removeEventListener("input", this.later);
  }

  async update() {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(this.form)) {
      const ofTrainer = name.includes("-") && !name.includes("__");
      if (value !== "" && !ofTrainer && !["csrftoken", "action", "check"].includes(name)) {
        query.append(name, value);
      }
    }
    query.append("preview", "1");
    this.asked?.abort();
    this.asked = new AbortController();
    try {
      const response = await fetch(`${this.dataset.url}?${query}`, { signal: this.asked.signal });
      if (response.ok) {
        this.show(await response.json());
      }
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof TypeError)) {
        throw error;
      } // no network: the button is there still
    }
  }

  show(data) {
    for (const place of this.form.querySelectorAll("[id^=ft-error-]")) {
      const text = data.errors[place.id.slice("ft-error-".length)] ?? "";
      place.textContent = text;
      place.hidden = !text;
      const field = this.form.querySelector(`[aria-describedby~="${place.id}"]`);
      if (text) field?.setAttribute("aria-invalid", "true");
      else field?.removeAttribute("aria-invalid");
    }
    document.getElementById("ft-said-kind").textContent = data.kind
      ? `Detected: ${data.read_as}`
      : "";
    const examples = data.examples.map(row);
    this.querySelector("tbody").replaceChildren(...(examples.length ? examples : [this.none()]));
  }

  none() {
    const cell = element("td", this.dataset.none);
    cell.colSpan = 3;
    cell.className = "ft-quiet";
    return element("tr", cell);
  }
}

function row(example) {
  const key = element("td", element(example.url ? "a" : "span", example.key.join(", ")));
  if (example.url) {
    key.firstChild.href = example.url;
  }
  const text = element("td", example.text);
  text.className = "ft-text";
  text.dir = "auto";
  if (example.problem) {
    const why = element("em", `skipped: ${example.problem}`);
    why.className = "ft-quiet";
    text.append(why);
  }
  const labels = element("td", example.labels.join(", "));
  labels.dir = "auto";
  return element("tr", key, text, labels);
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

class Check extends HTMLElement {
  connectedCallback() {
    this.look();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  async look() {
    try {
      const response = await fetch(this.dataset.url);
      if (response.status === 403 || response.status === 404) {
        return; // signed out, or the job is gone: a reload says so
      }
      const { check } = response.ok ? await response.json() : {};
      if (check && !check.active) {
        await swap();
        return;
      }
      const step = this.querySelector(".ft-step");
      if (check && step.textContent !== check.step) {
        step.textContent = check.step || "waiting for its turn";
      }
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error;
      } // no network, or a computer that slept: the next look may find it
    }
    this.timer = setTimeout(() => this.look(), EVERY);
  }
}

// Takes what a check says out of a new copy of the page, and leaves what was typed alone.
async function swap() {
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("#ft-checked, .ft-swap")) {
    const fresh = page.getElementById(old.id);
    if (fresh) {
      old.replaceChildren(...document.importNode(fresh, true).childNodes);
    }
  }
}

customElements.define("ft-preview", Preview);
customElements.define("ft-check", Check);
