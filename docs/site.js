// What scrolls can be scrolled with the keyboard; each button that copies, and the search, has a name of its own.
const reach = () => {
  for (const box of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    box.tabIndex = 0;
  }
  document.querySelectorAll("nav.md-code__nav").forEach((nav, number) => {
    nav.setAttribute("aria-label", `Block ${number + 1}`);
  });
};
addEventListener("DOMContentLoaded", () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  reach();
  new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
});
