// The methods text: to read, to copy, and to take along as Markdown.

WIDGETS.methods = drawMethods;

/** The text as Markdown. */
function asMarkdown(sections) {
  const parts = sections.map(({ title, text, items, references }) =>
    [`## ${title}`, text, items.map((item) => `- ${item}`).join("\n"), references].filter(Boolean).join("\n\n"));
  return `# Methods\n\n${parts.join("\n\n")}\n`;
}

/** Put a text on the clipboard; where the browser does not allow it to the page, by selecting what is shown. */
async function copied(text, shownText) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied as Markdown.";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(shownText);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy") ? "Copied as it is shown." : "Selected: press Ctrl+C (on a Mac ⌘C) to copy.";
  }
}

function drawMethods(block) {
  const { sections, file } = block.content;
  const text = element("div", { class: "methods-text", tabindex: 0, "aria-label": block.title }, ...sections.map(drawSection));
  const told = element("span", { class: "quiet", role: "status" });
  const bar = element("div", { class: "controls" },
    element("button", { type: "button", onclick: async () => { told.textContent = await copied(asMarkdown(sections), text); } }, "Copy the text"),
    element("button", { type: "button", onclick: () => download(asMarkdown(sections), file, "text/markdown") }, "Download as Markdown"), told);
  return framed(block, element("div", {}, bar, text));
}

function drawSection({ title, text, items, references }) {
  return element("section", {},
    element("h4", {}, title),
    text ? element("p", {}, text) : null,
    items.length ? element("ul", {}, ...items.map((item) => element("li", {}, item))) : null,
    references ? element("p", { class: "quiet" }, references) : null,
  );
}
