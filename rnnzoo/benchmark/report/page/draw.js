// Elements, scales, axes and markers that all pictures share. Text is only ever set as text, never parsed as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const colour = (encoder) => `var(--encoder-${encoder})`;

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Calls draw(width) now and whenever the place's width has changed.
function atWidth(place, draw) {
  let drawn = 0;
  const update = () => {
    const width = Math.round(place.clientWidth);
    if (width && width !== drawn) draw((drawn = width));
  };
  update();
  new ResizeObserver(update).observe(place);
}

function niceTicks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) ticks.push(index * step);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of [1, 2, 3, 5, 7]) {
      const tick = factor * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  if (ticks.length < 3) return niceTicks(low, high, 5).filter((tick) => tick > 0);
  return ticks.length > 9 ? ticks.filter((tick) => /^[^1-9]*[125]/.test(tick.toPrecision(1))) : ticks;
}

const showNumber = (value) => Number(value.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 });

// An empty plot: axes are {low, high, label, ticks, log}; returns the drawing and both scales in pixels.
function plot({ width, height, left, right = 12, top = 10, bottom = 44, x, y, label }) {
  const along = (axis, value) =>
    axis.log
      ? (Math.log(value) - Math.log(axis.low)) / (Math.log(axis.high) - Math.log(axis.low))
      : (value - axis.low) / (axis.high - axis.low);
  const px = (value) => left + along(x, value) * (width - left - right);
  const py = (value) => height - bottom - along(y, value) * (height - top - bottom);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const tick of x.ticks) {
    drawing.append(shape("line", { class: "grid", x1: px(tick), x2: px(tick), y1: top, y2: height - bottom }));
    const text = x.show ? x.show(tick) : showNumber(tick);
    drawing.append(shape("text", { x: px(tick), y: height - bottom + 16, "text-anchor": "middle", class: "quiet" }, text));
  }
  for (const tick of y.ticks) {
    drawing.append(shape("line", { class: "grid", x1: left, x2: width - right, y1: py(tick), y2: py(tick) }));
    drawing.append(shape("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end", class: "quiet" }, showNumber(tick)));
  }
  drawing.append(shape("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  const middle = (top + height - bottom) / 2;
  drawing.append(
    shape("text", { class: "title", x: (left + width - right) / 2, y: height - bottom + 36, "text-anchor": "middle" }, x.label),
    shape("text", { class: "title", "text-anchor": "middle", transform: `translate(12 ${middle}) rotate(-90)` }, y.label),
  );
  return { drawing, px, py };
}

// The outline of a marker of radius r around the origin.
function marker(name, r) {
  const polygon = (corners, turn, inner = 1) => {
    const points = [];
    const count = inner === 1 ? corners : 2 * corners;
    for (let index = 0; index < count; index++) {
      const angle = ((index + turn) * 2 * Math.PI) / count - Math.PI / 2;
      const radius = inner !== 1 && index % 2 ? r * inner : r;
      points.push(`${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`);
    }
    return `M${points.join("L")}Z`;
  };
  const outlines = {
    circle: () => polygon(20, 0),
    square: () => polygon(4, 0.5),
    diamond: () => polygon(4, 0),
    up: () => polygon(3, 0),
    down: () => polygon(3, 1.5),
    star: () => polygon(5, 0, 0.45),
    plus: () => polygon(4, 0, 0.35),
    cross: () => polygon(4, 1, 0.35),
    hexagon: () => polygon(6, 0),
  };
  return outlines[name]();
}

// A labelled menu; choices are [value, text] pairs.
function menu(name, choices, changed) {
  const options = choices.map(([value, text]) => element("option", { value }, text));
  const select = element("select", { onchange: () => changed(select.value) }, ...options);
  return [element("label", {}, name, select), select];
}

function swatch(encoder) {
  const style = data.encoders[encoder];
  return shape(
    "svg",
    { viewBox: "0 0 34 12", "aria-hidden": "true" },
    shape("path", { d: "M0 6H34", "stroke-width": 2.5, "stroke-dasharray": style.dash, style: `stroke:${colour(encoder)}` }),
    shape("path", { d: marker(style.marker, 5), transform: "translate(17 6)", style: `fill:${colour(encoder)}` }),
  );
}
