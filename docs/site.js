// What scrolls can be scrolled with the keyboard.
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    box.tabIndex = 0;
  }
});
