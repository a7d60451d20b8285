// Runs before the page is drawn, so that it is never drawn in the wrong colours.
try {
  const theme = localStorage.getItem("bookend-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's colours hold.
}
