// Sorts the rows of a table by the column whose heading is clicked; the heads of a network stay below it.
// Without scripts, rows stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead tr:last-child th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[table.tBodies.length - 1];
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const number = (text) => (text === "" || isNaN(text) ? null : Number(text));
      const networks = [];
      for (const row of body.rows) {
        row.classList.contains("head") ? networks.at(-1).push(row) : networks.push([row]);
      }
      networks.sort(([a], [b]) => {
        const [x, y] = [number(key(a)), number(key(b))];
        if (x === null || y === null) {
          return x === y ? key(a).localeCompare(key(b)) : x === null ? 1 : -1;
        }
        return up ? x - y : y - x;
      });
      body.append(...networks.flat());
    });
  });
}
