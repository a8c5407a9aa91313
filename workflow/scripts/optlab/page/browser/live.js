/* The page while its study runs, and copying. */

function followStudy() {
  if (!by("progress")) return;
  let version = null;
  setInterval(async () => {
    try {
      const news = await (await fetch("state")).json();
      by("progress").querySelector("progress").value = news.share;
      by("progress-text").textContent = news.text;
      // Not more often: somebody reads it.
      if (version !== null && news.version !== version && performance.now() > 10000) location.reload();
      version = version ?? news.version;
    } catch (gone) { by("progress-text").textContent = "The program that made this page has ended."; }
  }, 2000);
}

async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); }
  catch (refused) {
    const field = element("textarea", {}, text);
    document.body.append(field); field.select(); document.execCommand("copy"); field.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}
