// Emulated against real accuracy: one small square per encoder, of its first seed.
(() => {
  const place = document.getElementById("accuracy");
  const first = data.points.filter((points, index) => data.points.findIndex((other) => other.encoder === points.encoder) === index);
  const known = first.filter((points) => points.emulated.some((value) => value !== null));
  if (!known.length) {
    place.append(element("p", {}, "No emulated accuracies are known."));
    return;
  }
  const splits = data.rows[known[0].rows].splits;
  const [label, select] = menu("networks of", splits.map((split) => [split, split]), show);
  if (splits.includes("validation")) select.value = "validation";
  const panels = element("div", { class: "multiples" });
  place.append(element("div", { class: "controls" }, label), panels);
  show(select.value);

  function show(split) {
    panels.replaceChildren(...known.map((points) => panel(points, split)));
  }

  function panel(points, split) {
    const rows = data.rows[points.rows];
    const number = rows.splits.indexOf(split);
    const axis = { low: 0, high: 1, ticks: [0, 0.5, 1] };
    const name = data.encoders[points.encoder].label;
    const { drawing, px, py } = plot({
      width: 200, height: 204, left: 46, right: 8, top: 8, bottom: 44,
      x: { ...axis, label: "network (share)" },
      y: { ...axis, label: "emulator (share)" },
      label: `Accuracy of emulator and network, ${name}`,
    });
    drawing.append(shape("path", { class: "axis", d: `M${px(0)} ${py(0)}L${px(1)} ${py(1)}`, "stroke-dasharray": "3 3" }));
    let dots = "";
    rows.real.forEach((real, index) => {
      const emulated = points.emulated[index];
      if (rows.split[index] === number && real !== null && emulated !== null)
        dots += `M${px(real).toFixed(1)} ${py(emulated).toFixed(1)}h0`;
    });
    const pen = { "stroke-width": 4, "stroke-linecap": "round", "stroke-opacity": 0.6, fill: "none" };
    drawing.append(shape("path", { d: dots, ...pen, style: `stroke:${colour(points.encoder)}` }));
    const gap = points.gaps[split];
    const told = gap === null || gap === undefined ? "gap unknown" : `gap ${gap.toFixed(3)}`;
    return element("figure", {}, element("figcaption", {}, element("b", {}, name), `${told}, seed ${points.seed}`), drawing);
  }
})();
