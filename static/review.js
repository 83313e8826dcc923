// Reviewing labels with the keyboard. Each key does what the element with that data-key does, so
// that everything works as well without this, by the buttons. A plain script and no module: it
// listens before the row can be seen, so that no key of a quick person is lost.
class Review extends HTMLElement {
  connectedCallback() {
    this.over = new AbortController();
    const { signal } = this.over;
    document.addEventListener("keydown", (event) => this.press(event), { signal });
    // Comes back from the browser's memory by "back".
    window.addEventListener("pageshow", () => (this.leaving = false), { signal });
  }

  disconnectedCallback() {
    this.over.abort();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", () => this.press(event), { once: true });
      return;
    }
    const field = event.target;
    const typing = field.matches?.("input[type=text], textarea, select, [contenteditable]");
    if (typing) {
      if (event.key === "Escape") field.blur();
      return;
    }
    const wanted = event.key === "Enter" ? this.onEnter(field) : this.withKey(event.key);
    if (!wanted) return;
    event.preventDefault();
    // A second key while the next row is on its way would speak of this row again.
    if (this.leaving) return;
    this.leaving = wanted.matches("button, a");
    if (wanted.matches("input[type=text]")) wanted.focus();
    else wanted.click();
  }

  // Checked boxes are saved by Enter; on a button or a link it does what it always does.
  onEnter(field) {
    return field.matches?.("button, a, summary") ? null : this.querySelector("[data-save]");
  }

  withKey(key) {
    return [...this.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
  }
}

// A queue that is being made: the page is loaded again when it is ready.
class Queue extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.look(), 1000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  async look() {
    if (document.hidden) return;
    try {
      const job = await (await fetch(this.dataset.url)).json();
      if (job.ok && !job.active) location.reload();
    } catch {
      // asked again in a moment
    }
  }
}

customElements.define("ft-review", Review);
customElements.define("ft-queue", Queue);
