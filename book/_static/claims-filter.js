// The table of all claims, filtered by what is chosen; without this script all of it is shown.
for (const form of document.querySelectorAll("form.claims-filter")) {
  const table = form.parentElement.querySelector("table.claims");
  const rows = [...table.tBodies[0].rows];
  const output = form.querySelector("output");

  const show = () => {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    let shown = 0;
    for (const row of rows) {
      const fits = chosen.every(([name, value]) =>
        name === "bound" ? row.dataset.bound.split(" ").includes(value) : row.dataset[name] === value,
      );
      row.hidden = !fits;
      shown += fits;
    }
    output.textContent = `${shown} of ${rows.length} claims`;
  };

  form.hidden = false;
  form.addEventListener("change", show);
  // A choice can be linked to, such as ?verdict=undecided.
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements.namedItem(name);
    if (field) field.value = value;
  }
  show();
}
