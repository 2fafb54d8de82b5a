// Frames in three dimensions on a plain canvas: no library, no network.
(() => {
  const figure = document.getElementById("viewer");
  if (!figure) return;
  const { films, elements } = JSON.parse(document.getElementById("viewer-data").textContent);
  const canvas = figure.querySelector("canvas");
  const context = canvas.getContext("2d");
  const select = figure.querySelector("select");
  const solvent = figure.querySelector("input[type=checkbox]");
  const time = figure.querySelector("input[type=range]");
  const told = figure.querySelector("output");
  const START = { tilt: -0.35, turn: 0.55, zoom: 1 };
  const DEPTHS = 8;
  let view = { ...START };
  let film = films[0];
  let playing = 0;
  let sprites = new Map();
  let pending = false;

  const mixed = (from, to, share) => from.map((c, i) => Math.round(c + (to[i] - c) * share));
  const rgb = (c) => `rgb(${c[0]},${c[1]},${c[2]})`;
  const parsed = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const themed = (name) => getComputedStyle(figure).getPropertyValue(name).trim();

  // one shaded ball for each element and depth; far ones fade into the background
  function ball(element, depth, background) {
    const key = `${element}/${depth}`;
    if (sprites.has(key)) return sprites.get(key);
    const size = 96, half = size / 2;
    const sprite = Object.assign(document.createElement("canvas"), { width: size, height: size });
    const pen = sprite.getContext("2d");
    const faded = (c) => rgb(mixed(background, c, 0.5 + (0.5 * depth) / (DEPTHS - 1)));
    const colour = parsed(elements[element].colour);
    const light = pen.createRadialGradient(half * 0.7, half * 0.62, size * 0.04, half, half, half);
    light.addColorStop(0, faded(mixed(colour, [255, 255, 255], 0.75)));
    light.addColorStop(0.35, faded(colour));
    light.addColorStop(0.9, faded(mixed(colour, [0, 0, 0], 0.42)));
    light.addColorStop(1, faded(mixed(colour, [0, 0, 0], 0.6)));
    pen.fillStyle = light;
    pen.beginPath();
    pen.arc(half, half, half - 1, 0, 2 * Math.PI);
    pen.fill();
    sprites.set(key, sprite);
    return sprite;
  }

  // turn about the vertical, tilt about the horizontal, mild perspective; z grows towards the eye
  function projector(reach, scale, width, height) {
    const [ct, st, cu, su] = [Math.cos(view.tilt), Math.sin(view.tilt), Math.cos(view.turn), Math.sin(view.turn)];
    return (x, y, z) => {
      const across = cu * x + su * z, into = -su * x + cu * z;
      const up = ct * y - st * into, near = st * y + ct * into;
      const zoom = scale / (1 - near / (5 * reach));
      return [width / 2 + across * zoom, height / 2 - up * zoom, near, zoom];
    };
  }

  function corners() {
    const [a, b, c] = film.cell;
    return [...Array(8).keys()].map((n) =>
      [0, 1, 2].map((k) => ((n & 1) - 0.5) * a[k] + (((n >> 1) & 1) - 0.5) * b[k] + ((n >> 2) - 0.5) * c[k]));
  }

  function draw() {
    pending = false;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const background = parsed(themed("--stage"));
    const box = corners();
    const reach = Math.max(...box.map((p) => Math.hypot(...p)));
    const project = projector(reach, (0.47 * Math.min(width, height) * view.zoom) / reach, width, height);
    const ends = box.map((p) => project(...p));
    const lines = [];
    for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) lines.push([ends[i], ends[i | bit]]);
    const middle = (line) => (line[0][2] + line[1][2]) / 2;
    const edge = (line) => stroke(line[0], line[1], themed("--muted"), 1);
    lines.filter((l) => middle(l) < 0).forEach(edge);
    for (const part of parts(project, reach).sort((p, q) => p.depth - q.depth)) {
      const shade = Math.max(0, Math.min(DEPTHS - 1, Math.floor(((part.depth / reach + 1) / 2) * DEPTHS)));
      if (part.radius) {
        context.drawImage(ball(part.element, shade, background), part.x - part.radius, part.y - part.radius,
          2 * part.radius, 2 * part.radius);
      } else {
        const grey = mixed(background, parsed(themed("--stick")), 0.5 + (0.5 * shade) / (DEPTHS - 1));
        stroke(part.from, part.to, rgb(grey), part.width);
      }
    }
    lines.filter((l) => middle(l) >= 0).forEach(edge);
  }

  function stroke(from, to, style, width) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  }

  // everything that is sorted by depth: balls, and the sticks between them
  function parts(project) {
    const shown = (i) => solvent.checked || !film.solvent[i];
    const positions = film.positions[time.value];
    const placed = film.numbers.map((_, i) => project(...positions.slice(3 * i, 3 * i + 3)));
    const found = [];
    placed.forEach(([x, y, depth, zoom], i) => {
      const radius = (film.solvent[i] ? 0.45 * elements[film.numbers[i]].radius : 1) * zoom;
      if (shown(i)) found.push({ x, y, depth, radius, element: film.numbers[i] });
    });
    for (let k = 0; k < film.bonds.length; k += 2) {
      const [i, j] = [film.bonds[k], film.bonds[k + 1]];
      const depth = (placed[i][2] + placed[j][2]) / 2;
      if (shown(i)) found.push({ from: placed[i], to: placed[j], depth, width: 0.16 * placed[i][3] });
    }
    return found;
  }

  function redraw() {
    if (!pending) requestAnimationFrame(draw);
    pending = true;
  }

  function rotate(turn, tilt) {
    view.turn += turn;
    view.tilt = Math.max(-1.57, Math.min(1.57, view.tilt + tilt));
    redraw();
  }

  function zoom(factor) {
    view.zoom = Math.max(0.4, Math.min(5, view.zoom * factor));
    redraw();
  }

  const keys = {
    ArrowLeft: () => rotate(-0.12, 0), ArrowRight: () => rotate(0.12, 0),
    ArrowUp: () => rotate(0, -0.12), ArrowDown: () => rotate(0, 0.12),
    "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
    0: () => { view = { ...START }; redraw(); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  figure.querySelectorAll(".buttons button").forEach((button) =>
    button.addEventListener("click", () => keys[button.value]()));

  // one finger or the mouse turns; two fingers zoom
  const held = new Map();
  const spread = () => { const [p, q] = [...held.values()]; return Math.hypot(p.x - q.x, p.y - q.y); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = held.get(event.pointerId);
    if (!last) return;
    const before = held.size === 2 ? spread() : 0;
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (held.size === 1) rotate((event.clientX - last.x) * 0.01, (event.clientY - last.y) * 0.01);
    else if (before) zoom(spread() / before);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => held.delete(e.pointerId));
  // a page is scrolled with the wheel, so only a focused view takes it
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.001));
  }, { passive: false });

  function show(number) {
    time.value = number;
    told.textContent = `${film.times[number]} ps`;
    canvas.setAttribute("aria-label",
      `Frame of ${film.label} at ${film.times[number]} ps; arrow keys turn it, plus and minus zoom`);
    redraw();
  }

  function choose() {
    stop();
    film = films[select.selectedIndex];
    solvent.parentElement.hidden = !film.solvent.includes(1);
    time.max = film.times.length - 1;
    figure.querySelector(".film").hidden = film.times.length < 2;
    show(film.times.length - 1);
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    figure.querySelector(".film button").textContent = "▶";
  }

  // from the beginning where it stands at the end
  function play() {
    if (playing) return stop();
    if (time.value === time.max) show(0);
    figure.querySelector(".film button").textContent = "⏸";
    playing = setInterval(() => {
      show(Number(time.value) + 1);
      if (time.value === time.max) stop();
    }, 250);
  }

  figure.querySelector(".film button").addEventListener("click", play);
  time.addEventListener("input", () => { stop(); show(time.value); });
  select.addEventListener("change", choose);
  solvent.addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { sprites = new Map(); redraw(); });
  figure.classList.add("live");
  choose();
})();
