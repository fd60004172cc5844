// Tables that sort, filter and download: DataTables, from the module that the page carries.

let dataTables = null;

/** DataTables itself; the module is read once. */
function tableLibrary() {
  if (!dataTables) {
    const bytes = atob(document.getElementById("tables-module").textContent);
    const address = URL.createObjectURL(new Blob([Uint8Array.from(bytes, (c) => c.charCodeAt(0))], { type: "text/javascript" }));
    dataTables = import(address).then((module) => module.default);
  }
  return dataTables;
}

/** Cells are text, never markup; numbers are short on the screen and whole where they are sorted or downloaded. */
function cell(value, purpose) {
  if (purpose === "sort" || purpose === "type") return value === null ? -Infinity : typeof value === "boolean" ? Number(value) : value;
  return purpose === "display" ? escaped(shown(value)) : value ?? "";
}

function escaped(text) {
  return element("i", {}, text).innerHTML.replaceAll('"', "&quot;");
}

function drawTable(block) {
  const table = element("table", { class: "display compact nowrap", style: "width:100%" });
  const holder = element("div", { class: "scroll" }, table);
  whenShown(table, async () => {
    const DataTable = await tableLibrary();
    const small = block.rows.length <= block.page_length;
    new DataTable(table, {
      data: block.rows,
      columns: block.columns.map((title) => ({ title: escaped(title), render: cell })),
      order: [], autoWidth: false, scrollX: true,
      paging: !small, pageLength: block.page_length, lengthChange: false,
      info: !small,
      layout: {
        topStart: small ? null : "search", topEnd: null,
        bottomStart: { buttons: [{ extend: "csv", text: "CSV", filename: fileName(block.title), exportOptions: { orthogonal: "export" } }] },
        bottomEnd: small ? null : "paging",
      },
      language: { search: "", searchPlaceholder: "filter rows" },
    });
  });
  return framed(block, holder);
}
