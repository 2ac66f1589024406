// Marks say what they are when pointed at, tapped or reached by keyboard; arrow keys walk them.
"use strict";
for (const figure of document.querySelectorAll(".figure")) {
  const readout = figure.querySelector(".readout");
  const say = (event) => {
    const mark = event.target.closest(".mark");
    if (mark) readout.textContent = mark.getAttribute("aria-label");
  };
  for (const kind of ["focusin", "pointerover", "click"]) figure.addEventListener(kind, say);

  for (const chart of figure.querySelectorAll("svg")) {
    const marks = [...chart.querySelectorAll(".mark")];
    const left = (mark) => mark.getBoundingClientRect().left;
    marks.forEach((mark, index) => mark.setAttribute("tabindex", index ? "-1" : "0"));
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const shown = marks.filter((mark) => mark.getClientRects().length);
      const ordered = shown.sort((a, b) => left(a) - left(b));
      const here = ordered.indexOf(document.activeElement);
      if (!step || here < 0) return;
      event.preventDefault();
      const next = ordered[(here + step + ordered.length) % ordered.length];
      for (const mark of marks) mark.setAttribute("tabindex", mark === next ? "0" : "-1");
      next.focus();
    });
  }
}
// What is folded away on the screen is wanted on paper.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
