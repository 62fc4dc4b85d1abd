// Principal components of z, by encoder and seed, coloured by what the zoo knows of the networks.
(() => {
  const place = document.getElementById("embedding");
  if (!data.points.length) {
    place.append(element("p", {}, "There are no embeddings."));
    return;
  }
  const encoders = [...new Set(data.points.map((points) => points.encoder))];
  const legend = element("div");
  const canvas = element("div");
  const tooltip = element("div", { class: "tooltip", role: "status", hidden: true });
  const note = element("p");
  let drawn = null;
  let current = -1;

  const [encoderLabel, encoderMenu] = menu("encoder", encoders.map((index) => [index, data.encoders[index].label]), chooseEncoder);
  const [seedLabel, seedMenu] = menu("seed", [], draw);
  const [colourLabel, colourMenu] = menu("colour", [], draw);
  const [splitLabel, splitMenu] = menu("networks of", [], draw);
  const around = element("div", { class: "plot" }, canvas, tooltip);
  place.append(element("div", { class: "controls" }, encoderLabel, seedLabel, colourLabel, splitLabel), legend, around, note);

  const mostTelling = encoders.find((index) => data.encoders[index].dash === "") ?? encoders[0];
  encoderMenu.value = mostTelling;
  chooseEncoder();
  atWidth(canvas, draw);

  function refill(select, choices) {
    const before = select.value;
    select.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
    if (choices.some(([value]) => String(value) === before)) select.value = before;
  }

  function chooseEncoder() {
    const ours = data.points.filter((points) => points.encoder === Number(encoderMenu.value));
    refill(seedMenu, ours.map((points) => [points.seed, points.seed]));
    const rows = data.rows[ours[0].rows];
    refill(colourMenu, rows.colourings.map((colouring, index) => [index, colouring.name]));
    refill(splitMenu, [["", rows.splits.join(" and ")], ...rows.splits.map((split) => [split, split])]);
    draw();
  }

  function draw() {
    const width = Math.max(280, Math.round(canvas.clientWidth));
    const points = data.points.find((p) => p.encoder === Number(encoderMenu.value) && p.seed === Number(seedMenu.value));
    const rows = data.rows[points.rows];
    const colouring = rows.colourings[Number(colourMenu.value)];
    const axis = (values, number) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const space = 0.05 * (high - low) || 1;
      const share = (100 * points.variance[number]).toFixed(0);
      const name = `principal component ${number + 1} of z (${share}% of variance)`;
      return { low: low - space, high: high + space, ticks: niceTicks(low - space, high + space, 5), label: name };
    };
    const height = Math.round(Math.min(540, Math.max(330, 0.68 * width)));
    const { drawing, px, py } = plot({
      width, height, left: 62, x: axis(points.x, 0), y: axis(points.y, 1),
      label: `Embeddings by ${data.encoders[points.encoder].label}, coloured by ${colouring.name}; arrow keys move from network to network`,
    });
    drawing.setAttribute("tabindex", "0");
    drawing.setAttribute("role", "application");
    const track = shape("path", { fill: "none", "stroke-width": 1.5, style: "stroke:var(--ink)", opacity: 0.7, "pointer-events": "none" });
    const ring = shape("circle", { r: 8, fill: "none", "stroke-width": 2.5, style: "stroke:var(--ink)", visibility: "hidden", "pointer-events": "none" });
    const wanted = rows.splits.indexOf(splitMenu.value);
    const shown = rows.model.map((_, index) => index).filter((index) => wanted < 0 || rows.split[index] === wanted);
    const marks = rows.splits.map((split) => marker(split === "ood_test" ? "up" : "circle", split === "ood_test" ? 4.8 : 4));
    for (const index of shown)
      drawing.append(shape("path", {
        d: marks[rows.split[index]],
        transform: `translate(${px(points.x[index]).toFixed(1)} ${py(points.y[index]).toFixed(1)})`,
        fill: colourOf(colouring, index),
        "stroke-width": 0.6,
        "data-point": index,
        style: "stroke:var(--outline)",
      }));
    drawing.append(track, ring);
    drawing.addEventListener("pointermove", (event) => select(nearest(event)));
    drawing.addEventListener("pointerdown", (event) => select(nearest(event)));
    drawing.addEventListener("pointerleave", () => select(-1));
    drawing.addEventListener("blur", () => select(-1));
    drawing.addEventListener("keydown", step);
    drawn = { points, rows, shown, drawing, px, py, track, ring, width };
    canvas.replaceChildren(drawing);
    drawLegend(colouring, rows);
    select(-1);
    const left = points.all - rows.model.length;
    note.textContent = left > 0 ? `${showNumber(rows.model.length)} of ${showNumber(points.all)} snapshots are drawn.` : "";
  }

  function nearest(event) {
    const box = drawn.drawing.getBoundingClientRect();
    const scale = drawn.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let [best, distance] = [-1, 24 * 24];
    for (const index of drawn.shown) {
      const squared = (drawn.px(drawn.points.x[index]) - x) ** 2 + (drawn.py(drawn.points.y[index]) - y) ** 2;
      if (squared < distance) [best, distance] = [index, squared];
    }
    return best;
  }

  function step(event) {
    const { shown, rows } = drawn;
    const at = shown.indexOf(current);
    const other = (direction) => {
      let index = at;
      while (index >= 0 && index < shown.length && rows.model[shown[index]] === rows.model[current]) index += direction;
      return index;
    };
    const moves = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => other(1), ArrowUp: () => other(-1) };
    if (event.key === "Escape") select(-1);
    if (!(event.key in moves)) return;
    event.preventDefault();
    const next = current < 0 ? 0 : moves[event.key]();
    select(shown[Math.min(Math.max(next, 0), shown.length - 1)]);
  }

  function select(index) {
    current = index;
    const { points, rows, shown, px, py, track, ring, width } = drawn;
    tooltip.hidden = index < 0;
    ring.setAttribute("visibility", index < 0 ? "hidden" : "visible");
    if (index < 0) {
      track.removeAttribute("d");
      return;
    }
    const [x, y] = [px(points.x[index]), py(points.y[index])];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    const same = shown.filter((other) => rows.model[other] === rows.model[index] && rows.split[other] === rows.split[index]);
    track.setAttribute("d", same.map((other, i) => `${i ? "L" : "M"}${px(points.x[other])} ${py(points.y[other])}`).join(""));
    const share = (value) => (value === null ? "unknown" : value.toFixed(3));
    const lines = [
      `model ${rows.model[index]}, step ${showNumber(rows.step[index])} (${rows.splits[rows.split[index]]})`,
      `task ${rows.tasks[rows.task[index]]}`,
      `accuracy ${share(rows.accuracy[index])}`,
      `emulator's accuracy ${share(points.emulated[index])}`,
      `total variation ${points.variation[index] === null ? "unknown" : points.variation[index].toFixed(4)}`,
    ];
    tooltip.replaceChildren(...lines.map((line) => element("div", {}, line)));
    const scale = canvas.clientWidth / width;
    const right = x * scale + 16 + tooltip.offsetWidth > canvas.clientWidth;
    tooltip.style.left = `${Math.max(0, right ? x * scale - 16 - tooltip.offsetWidth : x * scale + 16)}px`;
    tooltip.style.top = `${Math.max(0, y * scale - tooltip.offsetHeight / 2)}px`;
  }

  function colourOf({ kind, values, low, high, palette }, index) {
    if (values[index] === null) return "none";
    if (kind === "classes") return palette[values[index]];
    const place = Math.min(Math.max((values[index] - low) / (high - low), 0), 1);
    return palette[Math.round(place * (palette.length - 1))];
  }

  function drawLegend(colouring, rows) {
    const shapes = rows.splits.map((split) => `${split === "ood_test" ? "▲" : "●"} ${split}`).join("   ");
    const title = element("div", {}, `${colouring.name}   (${shapes})`);
    if (colouring.kind === "classes") {
      const items = colouring.classes.map((name, index) =>
        element("li", {}, element("span", { class: "swatch", style: `background:${colouring.palette[index]}` }), name));
      legend.replaceChildren(title, element("ul", { class: "legend" }, ...items));
      return;
    }
    const bar = element("div", { class: "bar", style: `background:linear-gradient(to right,${colouring.palette.join(",")})` });
    const count = colouring.kind === "cyclic" ? 4 : 2;
    const ticks = Array.from({ length: count + 1 }, (_, index) =>
      element("span", {}, showNumber(colouring.low + ((colouring.high - colouring.low) * index) / count)));
    legend.replaceChildren(title, element("div", { class: "gradient" }, bar, element("div", { class: "ticks" }, ...ticks)));
  }
})();
