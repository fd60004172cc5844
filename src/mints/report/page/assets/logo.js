// A motif as letters, each as high as its share of the column's information.

WIDGETS.logo = drawLogo;

/** Outlines of the bases in a box of 100 by 100, so that a letter fills its place whatever fonts there are. */
const GLYPHS = {
  A: "M0,100 L38,0 L62,0 L100,100 L79,100 L71,77 L29,77 L21,100 Z M35,60 L65,60 L50,17 Z",
  C: "M98,66 A50,50 0 1 1 98,34 L77,40 A30,30 0 1 0 77,60 Z",
  G: "M97,33 A50,50 0 1 0 98,66 V47 H54 V63 H77 A30,30 0 1 1 76,38 Z",
  T: "M0,0 H100 V17 H60.5 V100 H39.5 V17 H0 Z",
};
const GLYPH_COLOURS = { A: "green", C: "blue", G: "orange", T: "vermillion" };

/** An element of a picture. */
function drawing(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawLogo(block) {
  const holder = element("div", { class: "logo" });
  const redraw = () => holder.isConnected && holder.clientWidth && holder.replaceChildren(logoPicture(block.content, holder.clientWidth));
  whenShown(holder, redraw);
  new ResizeObserver(redraw).observe(holder);
  return framed(block, holder);
}

/** The picture at a width in pixels: text keeps its size, columns share the room. */
function logoPicture({ letters, heights, probabilities }, width) {
  const left = 44, below = 38, above = 8, high = 170;
  const top = Math.max(2, ...heights.map((column) => column.reduce((sum, each) => sum + Math.max(0, each), 0)));
  const wide = Math.min(44, (width - left - 8) / heights.length);
  const y = (bits) => above + high * (1 - bits / top);
  const consensus = probabilities.map((column) => letters[column.indexOf(Math.max(...column))]).join("");
  const size = { width: left + wide * heights.length + 8, height: above + high + below };
  const picture = drawing("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": `sequence logo; most frequent bases ${consensus}` });
  for (let bits = 0; bits <= top; bits += 1) {
    picture.append(
      drawing("line", { class: "grid", x1: left, x2: left + wide * heights.length, y1: y(bits), y2: y(bits) }),
      drawing("text", { x: left - 8, y: y(bits) + 4, "text-anchor": "end" }, String(bits)),
    );
  }
  picture.append(drawing("text", { transform: `translate(14 ${above + high / 2}) rotate(-90)`, "text-anchor": "middle" }, "information (bits)"));
  const every = Math.max(1, Math.ceil(22 / wide));
  heights.forEach((column, place) => {
    const x = left + wide * place;
    const parts = [...letters].map((letter, index) => ({ letter, height: column[index], share: probabilities[place][index] }));
    const told = [...parts].sort((a, b) => b.share - a.share).map((each) => `${each.letter} ${(100 * each.share).toFixed(0)}%`).join(", ");
    const stack = drawing("g", {}, drawing("title", {}, `position ${place + 1}: ${told}`), drawing("rect", { x, y: above, width: wide, height: high, fill: "transparent" }));
    let bottom = 0;
    for (const { letter, height } of parts.filter((each) => each.height > 0).sort((a, b) => a.height - b.height)) {
      const tall = (high * height) / top;
      stack.append(drawing("path", {
        d: GLYPHS[letter] ?? "M0,0 H100 V100 H0 Z", "fill-rule": "evenodd", style: `fill: var(--${GLYPH_COLOURS[letter] ?? "quiet"})`,
        transform: `translate(${x + wide * 0.04} ${y(bottom) - tall}) scale(${(wide * 0.92) / 100} ${tall / 100})`,
      }));
      bottom += height;
    }
    picture.append(stack);
    if (place === 0 || (place + 1) % every === 0) picture.append(drawing("text", { x: x + wide / 2, y: above + high + 15, "text-anchor": "middle" }, String(place + 1)));
  });
  picture.append(drawing("text", { x: left + (wide * heights.length) / 2, y: above + high + 32, "text-anchor": "middle" }, "position in the motif (bp)"));
  return picture;
}
