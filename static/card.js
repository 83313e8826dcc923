// The classifier's page: try a text without leaving it, and see what a lowest score would cost.

const form = document.querySelector("form.ft-try");
if (form) {
  const said = document.querySelector(".ft-said");
  let asked = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const mine = ++asked;
    const query = new URLSearchParams(new FormData(form));
    said.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(`${form.action}?${query}`, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const answer = page.querySelector(".ft-said, .ft-error, [style*='border']");
      const parts = answer?.matches(".ft-said") ? answer.childNodes : answer ? [answer] : [];
      if (mine === asked) said.replaceChildren(...parts);
    } catch {
      if (mine === asked) said.textContent = "The server did not answer. Try again.";
    }
    said.removeAttribute("aria-busy");
  });
}

const figure = document.querySelector("figure.ft-threshold");
const chooser = figure?.querySelector("[data-chooser]");
if (chooser) {
  const rows = [...figure.querySelectorAll("tr[data-score]")];
  const slider = chooser.querySelector("input");
  const cut = figure.querySelector(".ft-cut");
  const link = chooser.querySelector("[data-with-score]");
  const percent = (value) => `${(value * 100).toFixed(1)}%`;
  const show = () => {
    const { score, rows: answered, coverage, precision, x } = rows[slider.value].dataset;
    const least = Number(score).toFixed(3);
    chooser.querySelector("output").textContent = least;
    slider.setAttribute("aria-valuetext", least);
    chooser.querySelector(".ft-threshold-said").textContent =
      `${percent(coverage)} of the test rows (${Number(answered).toLocaleString("en")}) get an answer,` +
      ` and ${percent(precision)} of those answers are right.`;
    cut.setAttribute("x1", x);
    cut.setAttribute("x2", x);
    cut.setAttribute("visibility", "visible");
    if (link) {
      const address = new URL(link.href);
      // Rounded, it would let other rows pass than those that were counted.
      address.searchParams.set("min_score", score);
      link.href = address;
    }
  };
  slider.addEventListener("input", show);
  chooser.hidden = false;
  show();
}
