// Tables that sort, filter and download: DataTables, from the module that the page carries.

let dataTables = null;
const TABLES = new Map(); // element → its DataTable, the block that it shows, and where paper says what is left out

/** DataTables itself; the module is read once. */
function tableLibrary() {
  if (!dataTables) {
    const address = URL.createObjectURL(new Blob([carried("tables-module")], { type: "text/javascript" }));
    dataTables = import(address).then((module) => module.default);
  }
  return dataTables;
}

/** Cells are text, never markup; numbers are short on the screen and whole where they are sorted or downloaded. */
function cells(written) {
  return (value, purpose) => {
    if (value?.address) return purpose === "display" ? `<a href="${escaped(value.address)}">${escaped(value.text)}</a>` : value.text;
    if (purpose === "sort" || purpose === "type") return value === null ? -Infinity : typeof value === "boolean" ? Number(value) : value;
    return purpose === "display" ? escaped(written(value)) : value ?? "";
  };
}

/** How a column's numbers are written: with as many decimals in every row as give the middle one three digits. Those of
 * p, q and whatever spans many orders of magnitude are written one by one. */
function writtenAlike(title, values) {
  const sizes = values.filter((value) => typeof value === "number" && !Number.isInteger(value)).map(Math.abs).sort((a, b) => a - b);
  const middle = sizes[sizes.length >> 1];
  if (/(^| )[pq]( |$)/.test(title)) return (value) => (typeof value === "number" && value < TINY ? `< ${TINY}` : shown(value));
  if (!(middle > 1e-4) || sizes.at(-1) > 1e4 * middle) return shown;
  const digits = Math.min(Math.max(2 - Math.floor(Math.log10(middle)), 0), 5);
  const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return (value) => (typeof value !== "number" || Number.isInteger(value) ? shown(value) : (Number(value.toFixed(digits)) || 0).toLocaleString("en", fixed));
}

const TINY = 1e-15; // below it a p says no more than that; files have all of it
const LONG = 32; // letters of a text from which on it may take several lines

/** Numbers of latents, each a link to its page where it has one. site: place of the row's site among its cells. */
function linkedCells(plain, site) {
  return (value, purpose, row) => {
    const address = purpose === "display" ? latentAddress(row[site], value) : null;
    return address ? `<a href="${escaped(address)}">${escaped(String(value))}</a>` : plain(value, purpose);
  };
}

/** A column as DataTables wants it. site: place of the column of sites; below 0 where the table has none. */
function column(title, values, site) {
  const long = values.some((value) => typeof value === "string" && value.length > LONG);
  const plain = cells(writtenAlike(title, values));
  return { title: escaped(title), render: title === "latent" && site >= 0 ? linkedCells(plain, site) : plain, className: long ? "words" : "" };
}

function escaped(text) {
  return element("i", {}, text).innerHTML.replaceAll('"', "&quot;");
}

function drawTable(block) {
  const table = element("table", { class: "display compact nowrap", style: "width:100%" });
  const holder = element("div", { class: "scroll" }, table);
  const told = element("p", { class: "only-print quiet" });
  whenShown(table, async () => {
    const DataTable = await tableLibrary();
    const small = block.rows.length <= block.page_length;
    const api = new DataTable(table, {
      data: block.rows,
      columns: block.columns.map((title, index) => column(title, block.rows.map((row) => row[index]), block.columns.indexOf("site"))),
      order: [], autoWidth: false, scrollX: true,
      paging: !small, pageLength: block.page_length, lengthChange: false,
      info: !small,
      layout: {
        topStart: small ? null : "search", topEnd: null,
        bottomStart: { buttons: [{ extend: "csv", text: "CSV", filename: fileName(block.title), exportOptions: { orthogonal: "export" } }] },
        bottomEnd: small ? null : "paging",
      },
      language: { search: "", searchPlaceholder: "filter rows" },
      drawCallback: () => nameParts(holder, block.title),
    });
    TABLES.set(table, { api, told, block });
  });
  return framed(block, element("div", {}, holder, told));
}

/** What scrolls can be reached by keyboard, and several tables' parts can be told from each other. */
function nameParts(holder, title) {
  const body = holder.querySelector(".dt-scroll-body");
  for (const [name, value] of Object.entries({ tabindex: 0, role: "region", "aria-label": `rows of ${title}` })) body?.setAttribute(name, value);
  holder.querySelector("nav")?.setAttribute("aria-label", `pages of ${title}`);
  holder.querySelector("input[type=search]")?.setAttribute("aria-label", `filter rows of ${title}`);
}
