// The classifier's page: try a text without leaving it, and see what a lowest score would cost.

const form = document.querySelector("form.ft-try");
if (form) {
  const said = form.querySelector(".ft-said");
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

const chooser = document.querySelector("form.ft-threshold");
if (chooser) {
  const rows = [...chooser.querySelectorAll("tr[data-score]")];
  const slider = chooser.querySelector("input");
  const percent = (value) => `${(value * 100).toFixed(1)} %`;
  const show = () => {
    const { score, coverage, precision } = rows[slider.value].dataset;
    chooser.querySelector("output").textContent = Number(score).toFixed(2);
    chooser.querySelector(".ft-threshold-said").textContent =
      `${percent(coverage)} of the test rows get an answer, and ${percent(precision)} of those answers are right.`;
  };
  slider.addEventListener("input", show);
  slider.hidden = false;
  show();
}
