"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Tables: a click on a head sorts by its column, another one reverses; what has no value stays last.
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    const numbers = rows.every(([v]) => v === "" || !Number.isNaN(Number(v)));
    const words = new Intl.Collator(undefined, { numeric: true });
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numbers ? Number(a) - Number(b) : words.compare(a, b);
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const first = head.classList.contains("high") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort") === first ? other : first;
        all("thead th", table).forEach((one) => one.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", now);
        sort(table, column, now === "descending");
      });
    });
  }

  // The filter hides rows of the table of cases, and their sections.
  const rows = all("tr[data-case]");
  const search = document.getElementById("filter");
  const picks = all("select[data-column]");
  const shown = document.getElementById("shown");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits =
        words.every((word) => text.includes(word)) &&
        picks.every((pick) => !pick.value || row.cells[Number(pick.dataset.column)].textContent.trim() === pick.value);
      row.hidden = !fits;
      const section = document.getElementById(row.dataset.case);
      if (section) section.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} cases`;
  };
  if (search) {
    search.addEventListener("input", filter);
    picks.forEach((pick) => pick.addEventListener("change", filter));
    filter();
  }

  // Sections off the screen have an estimated height until they are drawn: a jump is corrected when they are.
  let jump = 0;
  const stop = () => clearTimeout(jump);
  for (const kind of ["wheel", "pointerdown", "touchstart", "keydown"]) addEventListener(kind, stop, { passive: true });
  addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const correct = (left) => {
      if (!target || !left) return;
      target.scrollIntoView({ behavior: "instant" });
      jump = setTimeout(correct, 150, left - 1);
    };
    stop();
    jump = setTimeout(correct, 350, 3);
  });

  // The key shows and hides the layers of all pictures.
  for (const box of all("input[data-layer]")) {
    const apply = () => document.body.classList.toggle(`no-${box.dataset.layer}`, !box.checked);
    box.addEventListener("change", apply);
    apply();
  }

  // Pictures wait until the page is there and nothing else is to be done; on paper every one of them is needed.
  const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 50));
  const load = (most) => {
    const waiting = all("img[loading]");
    waiting.slice(0, most).forEach((img) => img.removeAttribute("loading"));
    if (waiting.length > most) idle(() => load(most));
  };
  window.addEventListener("load", () => idle(() => load(40)));
  window.addEventListener("beforeprint", () => load(Infinity));
})();
