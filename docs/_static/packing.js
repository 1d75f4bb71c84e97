/* The interactive picture of explained/packing.md: type lengths, see the padded and the packed batch.
   Plain JavaScript without dependencies. examples/packing_explained.py draws the same on a terminal. */
"use strict";

(() => {
  const COLORS = ["#7aa6d6", "#f4a261", "#8cc084", "#e98a8a", "#7fc8c2", "#ecd06f", "#c3a3d3", "#bf9b85"];
  const LETTERS = "abcdefghijklmnopqrstuvwxyz";
  const MOST_STEPS = 24;
  const EXAMPLE = "4 6 8 5 4 3 7 8";

  /* The lengths that a text names. Raises an error that says what is wrong. */
  function parse(text) {
    const words = text.split(/[\s,;]+/).filter((word) => word);
    if (!words.length) throw new Error("Type a length for each sequence, such as 4 6 8.");
    for (const word of words)
      if (!/^\d+$/.test(word) || Number(word) < 1)
        throw new Error(`“${word}” is not a length. Type whole numbers from 1 on, such as 4 6 8.`);
    if (words.length > LETTERS.length)
      throw new Error(`${words.length} sequences are too many to draw. Type at most ${LETTERS.length} lengths.`);
    const longest = Math.max(...words.map(Number));
    if (longest > MOST_STEPS)
      throw new Error(`A sequence of ${longest} tokens is too long to draw. Type lengths up to ${MOST_STEPS}.`);
    return words.map(Number);
  }

  /* The packed batch: the sequences longest first, and for each time step the sequences that have a token there. */
  function pack(lengths) {
    const order = lengths.map((_, row) => row).sort((one, other) => lengths[other] - lengths[one]);
    const steps = Array.from({ length: lengths[order[0]] }, (_, step) => order.filter((row) => lengths[row] > step));
    return { order, steps, tokens: lengths.reduce((sum, length) => sum + length, 0) };
  }

  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function cell(row) {
    if (row === undefined) return make("span", { class: "packing-cell packing-padding" });
    const node = make("span", { class: "packing-cell" }, LETTERS[row]);
    node.style.backgroundColor = COLORS[row % COLORS.length];
    return node;
  }

  /* A picture with a title; a screen reader reads the description instead of the cells. */
  function picture(name, title, description, ...cells) {
    const caption = make("figcaption", { id: `packing-${name}` }, title);
    const drawn = make("div", { class: `packing-${name}`, role: "img", "aria-label": description }, ...cells);
    return make("figure", {}, caption, drawn);
  }

  function grid(figure, columns) {
    figure.lastChild.style.setProperty("--columns", columns);
    return figure;
  }

  function draw(lengths) {
    const { order, steps, tokens } = pack(lengths);
    const longest = steps.length;
    const area = lengths.length * longest;
    const sizes = steps.map((rows) => rows.length);
    const names = (rows) => rows.map((row) => LETTERS[row]).join(" ");

    const padded = lengths.flatMap((length, row) =>
      Array.from({ length: longest }, (_, step) => cell(step < length ? row : undefined)));
    const rows = lengths.map((length, row) => `${LETTERS[row]}: ${length} tokens, ${longest - length} padding`);
    const packed = order.flatMap((row) =>
      Array.from({ length: longest }, (_, step) => (step < lengths[row] ? cell(row) : make("span", {}))));
    packed.push(...sizes.map((size) => make("b", { class: "packing-size" }, String(size))));
    const memory = steps.map((step) =>
      make("span", { class: "packing-step" }, ...step.map((row) => cell(row)),
        make("b", { class: "packing-size" }, String(step.length))));

    return {
      summary:
        `${lengths.length} sequences, ${tokens} tokens. Padded, the batch takes ${area} steps, packed ${tokens}: ` +
        `${Math.round(100 * (1 - tokens / area))}% of the padded steps are padding. ` +
        `batch_sizes: ${sizes.join(" ")}.`,
      pictures: [
        grid(picture("padded", `Padded: ${area} steps, ${area - tokens} of them padding`, rows.join("; "), ...padded),
          longest),
        grid(picture("packed", `Packed: ${tokens} steps, longest first`,
          `from top to bottom ${names(order)}; batch_sizes ${sizes.join(" ")}`, ...packed), longest),
        picture("memory", "data: in memory, one time step after the other",
          steps.map((step, index) => `step ${index + 1}: ${names(step)}`).join("; "), ...memory),
      ],
    };
  }

  function randomLengths() {
    const count = 3 + Math.floor(8 * Math.random());
    return Array.from({ length: count }, () => 1 + Math.floor(12 * Math.random())).join(" ");
  }

  function start(root) {
    const input = make("input", {
      id: "packing-lengths", type: "text", value: EXAMPLE, autocomplete: "off", spellcheck: "false",
      "aria-describedby": "packing-error",
    });
    const error = make("p", { id: "packing-error", role: "alert" });
    const summary = make("p", { id: "packing-summary", role: "status" });
    const pictures = make("div", { class: "packing-pictures" });
    const random = make("button", { type: "button" }, "Random lengths");
    const reset = make("button", { type: "button" }, "Reset");

    function update() {
      let lengths;
      try {
        lengths = parse(input.value);
      } catch (problem) {
        error.textContent = problem.message;
        input.setAttribute("aria-invalid", "true");
        return; // the pictures of the last valid lengths stay
      }
      error.textContent = "";
      input.removeAttribute("aria-invalid");
      const drawn = draw(lengths);
      summary.textContent = drawn.summary;
      pictures.replaceChildren(...drawn.pictures);
    }

    function set(text) {
      input.value = text;
      update();
    }

    input.addEventListener("input", update);
    random.addEventListener("click", () => set(randomLengths()));
    reset.addEventListener("click", () => set(EXAMPLE));
    root.replaceChildren(
      make("label", { for: "packing-lengths" }, "Lengths of the sequences, with spaces between them"),
      make("div", { class: "packing-controls" }, input, random, reset),
      error, summary, pictures);
    update();
  }

  start(document.getElementById("packing-demo"));
})();
