/* The start of the page: unpack its store, make its pictures, fill them. */

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(by(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/* BokehJS, by far the largest part of the page, is packed too. */
async function load(id) {
  const code = new TextDecoder().decode(await unpacked(id));
  document.head.append(element("script", {}, code));
}

async function start() {
  watchColours();
  followStudy();
  if (!by("store")) return;
  if (typeof DecompressionStream === "undefined") {
    by("answers").append(element("p", { class: "failure" }, "This browser cannot unpack the runs; the answers above are complete. A browser of 2023 or later shows all."));
    return;
  }
  const store = JSON.parse(new TextDecoder().decode(await unpacked("store")));
  const curves = new Float32Array(await unpacked("curves"));
  await load("bokeh");
  Bokeh.set_log_level("error"); // it warns of pictures that have no data yet
  const { documents, items } = JSON.parse(by("documents").textContent);
  await Bokeh.embed.embed_items(documents, items);
  const found = Bokeh.documents[Bokeh.documents.length - 1], models = new Map();
  for (const root of found.roots()) {
    models.set(`figure ${root.name}`, root);
    for (const drawn of root.renderers) if (drawn.data_source && drawn.data_source.name) models.set(drawn.data_source.name, drawn.data_source);
  }
  repaint.push(() => paintFigures(found.roots()));
  paintFigures(found.roots());
  if (store.problems.length) page(store, curves, models);
  if (store.trials.number) searches(store, (name) => models.get(name));
  if (store.scaling.length) speeds(store, (name) => models.get(name));
  document.documentElement.dataset.ready = "true";
}

start();
