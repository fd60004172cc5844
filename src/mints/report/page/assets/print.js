// Paper: light colours, figures as wide as the sheet, and tables that say what of them is left out.

const MOST_ROWS = 25; // of a table on paper
const TALLEST = 600; // pixels of a figure, so that it stays on one sheet with what stands around it

/** Whether the page is laid out for paper. */
function onPaper() {
  return document.documentElement.classList.contains("printing");
}

/** Figures of the open chapter that are drawn. */
function drawnCharts() {
  return [...CHARTS.keys()].filter((target) => target.isConnected && target.layout);
}

/** Lay the open chapter out for paper: what is drawn at once, then what was still waiting to be drawn. */
async function toPaper() {
  document.documentElement.classList.add("printing");
  document.documentElement.classList.remove("dark");
  redrawCharts();
  for (const target of drawnCharts()) Plotly.redraw(target); // a legend is placed by the margins of the drawing before
  cutTables();
  await drawAll();
  cutTables();
}

/** Back to the screen. */
function fromPaper() {
  document.documentElement.classList.remove("printing");
  nightfall();
  wholeTables();
  redrawCharts();
  for (const target of drawnCharts()) Plotly.Plots.resize(target).then(() => Plotly.redraw(target));
}

/** Tables of the open chapter: as many rows and columns as a sheet holds, and a line that says so. */
function cutTables() {
  for (const [table, { api, told }] of TABLES) {
    if (!table.isConnected || told.textContent) continue;
    const { recordsDisplay: rows } = api.page.info();
    const columns = api.columns().count();
    api.page.len(MOST_ROWS).page("first").draw(false);
    fitColumns(api);
    const right = table.closest("figure").getBoundingClientRect().right;
    const beyond = api.columns().indexes().toArray().filter((column) => column > 0 && api.column(column).header().getBoundingClientRect().right > right);
    api.columns(beyond).visible(false);
    fitColumns(api);
    const left = [
      rows > MOST_ROWS ? `the first ${MOST_ROWS} of ${rows.toLocaleString("en")} rows` : null,
      beyond.length ? `the first ${columns - beyond.length} of ${columns} columns` : null,
    ].filter(Boolean);
    told.textContent = left.length ? `On paper: ${left.join(" and ")}; the page on a screen has all.` : " ";
  }
}

/** Let a table find its widths anew: it keeps those of the room that it had. */
function fitColumns(api) {
  const holder = api.table().container();
  for (const sized of holder.querySelectorAll("col, .dt-scroll-headInner, .dt-scroll-headInner > table")) sized.style.width = sized.style.minWidth = "";
  api.columns.adjust();
}

function wholeTables() {
  for (const [table, { api, told, block }] of TABLES) {
    if (!table.isConnected || !told.textContent) continue;
    told.textContent = "";
    api.columns().visible(true);
    fitColumns(api);
    api.page.len(block.page_length).draw(false);
  }
}

window.addEventListener("beforeprint", toPaper);
window.addEventListener("afterprint", fromPaper);
