// What probing encoders send to networks: shares of tokens as strips, or pictures.
(() => {
  const place = document.getElementById("probes");
  if (!data.probes.length) {
    place.append(element("p", {}, "No encoder here sends probing sequences."));
    return;
  }
  const panels = element("div");
  const note = element("p");
  const [encoderLabel, encoderMenu] = menu("encoder", data.probes.map((probes, index) => [index, data.encoders[probes.encoder].label]), chooseEncoder);
  const [networkLabel, networkMenu] = menu("sent to", [], show);
  place.append(element("div", { class: "controls" }, encoderLabel, networkLabel), note, panels);
  chooseEncoder();

  function chooseEncoder() {
    const probes = data.probes[Number(encoderMenu.value)];
    networkMenu.replaceChildren(...probes.networks.map((name, index) => element("option", { value: index }, name)));
    show();
  }

  function show() {
    const probes = data.probes[Number(encoderMenu.value)];
    const [count, height, width] = probes.shape;
    const pictured = !probes.symbols.length;
    const text = probes.bytes[Number(networkMenu.value)];
    const bytes = Uint8Array.from({ length: text.length / 2 }, (_, index) => parseInt(text.slice(2 * index, 2 * index + 2), 16));
    const meaning = pictured
      ? "Each input as a picture; what comes first stands alone. Black is no ink."
      : "Each column is one input, a distribution over tokens: the darker, the larger the share. Tokens that hold at least half are written out.";
    note.textContent = `${meaning} Probes 1 to ${count} of ${probes.all}, seed ${probes.seed}.`;
    panels.className = pictured ? "probes images" : "probes";
    const drawn = Array.from({ length: count }, (_, probe) => {
      const part = bytes.subarray(probe * height * width, (probe + 1) * height * width);
      const caption = element("figcaption", {}, `probe ${probe + 1}`);
      return element("figure", { class: "probe" }, caption, pictured ? picture(part, height, width) : strip(part, height, width, probes.symbols));
    });
    panels.replaceChildren(...drawn);
  }

  function strip(bytes, positions, size, symbols) {
    const [cell, high, left] = [20, 15, 34];
    const drawing = shape("svg", { viewBox: `0 0 ${left + positions * cell} ${size * high + 32}`, role: "img" });
    const letters = [];
    for (let token = 0; token < size; token++) {
      drawing.append(shape("text", { x: left - 5, y: token * high + 12, "text-anchor": "end", class: "quiet" }, symbols[token]));
      for (let position = 0; position < positions; position++) {
        const share = bytes[position * size + token] / 255;
        const at = { x: left + position * cell, y: token * high, width: cell - 1, height: high - 1 };
        const told = `position ${position + 1}: ${symbols[token]} ${share.toFixed(2)}`;
        drawing.append(shape("rect", { ...at, style: `fill:rgba(var(--heat),${(0.04 + 0.96 * share).toFixed(2)})` }, shape("title", {}, told)));
        if (share < 0.5) continue;
        letters.push(symbols[token]);
        const middle = { x: at.x + (cell - 1) / 2, y: at.y + 11.5, "text-anchor": "middle", "pointer-events": "none" };
        drawing.append(shape("text", { ...middle, style: "fill:var(--on-heat);font-weight:700" }, letters.at(-1)));
      }
    }
    for (let position = 0; position < positions; position += 5)
      drawing.append(shape("text", { x: left + (position + 0.5) * cell, y: size * high + 13, "text-anchor": "middle", class: "quiet" }, position + 1));
    drawing.append(shape("text", { x: left + (positions * cell) / 2, y: size * high + 29, "text-anchor": "middle" }, "position"));
    drawing.setAttribute("aria-label", `Sharp tokens in order: ${letters.join("") || "none"}`);
    return drawing;
  }

  function picture(bytes, height, width) {
    const canvas = element("canvas", { width, height, style: `width:${4 * width}px`, role: "img" });
    canvas.setAttribute("aria-label", `a picture of ${width} by ${height} pixels`);
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    bytes.forEach((value, pixel) => image.data.set([value, value, value, 255], 4 * pixel));
    context.putImageData(image, 0, 0);
    return element("div", { class: "image" }, canvas);
  }
})();
