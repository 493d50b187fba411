// A table filtered by what is chosen in the form before it; without this script all of it is shown.
for (const form of document.querySelectorAll("form.table-filter")) {
  const table = form.parentElement.querySelector(`table.${form.dataset.table}`);
  const rows = [...table.tBodies[0].rows];
  const output = form.querySelector("output");
  // Fields of which a row has several values, with blanks between.
  const several = (form.dataset.several ?? "").split(" ");

  const show = () => {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    let shown = 0;
    for (const row of rows) {
      const fits = chosen.every(([name, value]) =>
        several.includes(name)
          ? row.dataset[name].split(" ").includes(value)
          : row.dataset[name] === value,
      );
      row.hidden = !fits;
      shown += fits;
    }
    output.textContent = `${shown} of ${rows.length} ${form.dataset.things}`;
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
