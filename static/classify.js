// The form that classifies rows, as the classifier in it changes: the names of the columns, and the
// parts that make sense for it. Without this, everything is on the page and works as well.
class ClassifyForm extends HTMLElement {
  connectedCallback() {
    this.choices = new Map(JSON.parse(this.dataset.choices).map((c) => [c.title, c]));
    this.chosen = this.querySelector("select[name=classifier]");
    this.typed = this.querySelector("input[name=prefix]");
    this.chosen.addEventListener("change", () => this.update());
    this.typed.addEventListener("input", () => this.update());
    this.update();
  }

  update() {
    const choice = this.choices.get(this.chosen.value);
    if (!choice) return;
    const known = { ...choice, local: !choice.leaves_machine };
    for (const part of this.querySelectorAll("[data-if]")) {
      part.hidden = !known[part.dataset.if];
    }
    for (const label of this.querySelectorAll("[data-role]")) {
      const role = label.dataset.role;
      const own = choice.columns[role];
      label.hidden = !own;
      const prefix = this.typed.value.trim();
      if (own) label.querySelector(".ft-name").textContent = prefix ? `${prefix}_${role}` : own;
    }
    // What is hidden is not sent: a batch is nothing to ask of a classifier that has none.
    for (const input of this.querySelectorAll("[data-if] input, [data-if] select")) {
      input.disabled = input.closest("[hidden]") !== null;
    }
    this.querySelector(".ft-go").textContent = choice.costs_money ? "See what it costs" : "Classify";
  }
}

customElements.define("ft-classify", ClassifyForm);
