// Training curves of all encoders on one pair of axes.
(() => {
  const place = document.getElementById("curves");
  if (!data.curves.length) {
    place.append(element("p", {}, "There are no training curves."));
    return;
  }
  const chart = element("div");
  const chosen = new Set();
  const highlight = (encoders) => {
    chart.classList.toggle("chosen", encoders.size > 0);
    for (const part of chart.querySelectorAll("[data-encoder]"))
      part.classList.toggle("shown", encoders.has(Number(part.dataset.encoder)));
  };
  const buttons = data.curves.map(({ encoder }) => {
    const button = element(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onpointerenter: () => highlight(new Set([...chosen, encoder])),
        onpointerleave: () => highlight(chosen),
        onclick: () => {
          if (!chosen.delete(encoder)) chosen.add(encoder);
          button.setAttribute("aria-pressed", chosen.has(encoder));
          highlight(chosen);
        },
      },
      swatch(encoder),
      data.encoders[encoder].label,
    );
    return element("li", {}, button);
  });
  place.append(chart, element("ul", { class: "legend", "aria-label": "Encoders; press to bring out" }, ...buttons));

  const losses = data.curves.flatMap((curve) => [...curve.loss, ...curve.validation_loss]).filter((loss) => loss > 0);
  const last = Math.max(...data.curves.flatMap((curve) => curve.step));
  const [low, high] = [0.93 * Math.min(...losses), 1.07 * Math.max(...losses)];

  atWidth(chart, (width) => {
    const named = width > 700;
    const height = named ? 460 : 360;
    const { drawing, px, py } = plot({
      width, height, left: 64, right: named ? 190 : 14,
      x: { low: 0, high: last, ticks: niceTicks(0, last, named ? 8 : 4), label: "optimizer steps" },
      y: { low, high, log: true, ticks: logTicks(low, high), label: data.loss },
      label: `Training curves: ${data.loss} over optimizer steps`,
    });
    const path = (steps, values) => {
      const points = steps.map((step, index) => [step, values[index]]).filter(([, loss]) => loss > 0);
      return points.map(([step, loss], index) => `${index ? "L" : "M"}${px(step).toFixed(1)} ${py(loss).toFixed(1)}`).join("");
    };
    const ends = [];
    for (const curve of data.curves) {
      const { encoder } = curve;
      const style = data.encoders[encoder];
      const group = shape("g", { class: "series", "data-encoder": encoder, style: `stroke:${colour(encoder)};fill:${colour(encoder)}` });
      group.append(shape("path", { d: path(curve.step, curve.loss), fill: "none", "stroke-width": 1, opacity: 0.45 }));
      const thick = { fill: "none", "stroke-width": 2.2, "stroke-dasharray": style.dash };
      group.append(shape("path", { d: path(curve.validation_step, curve.validation_loss), ...thick }));
      curve.validation_step.forEach((step, index) => {
        const loss = curve.validation_loss[index];
        if (!(loss > 0)) return;
        const at = `translate(${px(step).toFixed(1)} ${py(loss).toFixed(1)})`;
        const told = `${style.label}: validation ${showNumber(loss)} after ${showNumber(step)} steps, ${curve.seeds} seed(s)`;
        group.append(shape("path", { d: marker(style.marker, 4.6), transform: at, stroke: "none" }, shape("title", {}, told)));
      });
      drawing.append(group);
      const final = curve.validation_loss.at(-1) ?? curve.loss.at(-1);
      if (final > 0) ends.push({ encoder, from: py(final), at: py(final) });
    }
    if (named) nameEnds(drawing, ends, width - 190, height);
    chart.replaceChildren(drawing);
    highlight(chosen);
  });

  // Names beside the ends of lines, moved apart so that none covers another.
  function nameEnds(drawing, ends, right, height) {
    const gap = 15;
    ends.sort((a, b) => a.from - b.from);
    for (let index = 1; index < ends.length; index++) ends[index].at = Math.max(ends[index].at, ends[index - 1].at + gap);
    let limit = height - 46;
    for (const end of [...ends].reverse()) {
      end.at = Math.min(end.at, limit);
      limit = end.at - gap;
    }
    for (const { encoder, from, at } of ends) {
      const group = shape("g", { class: "name series", "data-encoder": encoder });
      group.append(shape("path", { d: `M${right + 6} ${from}L${right + 22} ${at}`, class: "axis", style: `stroke:${colour(encoder)}` }));
      const full = data.encoders[encoder].label;
      const short = full.length > 24 ? `${full.slice(0, 11)}…${full.slice(-12)}` : full;
      group.append(shape("text", { x: right + 26, y: at + 4, style: `fill:${colour(encoder)};font-weight:600` }, short, shape("title", {}, full)));
      drawing.append(group);
    }
  }
})();
