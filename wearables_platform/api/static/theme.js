// Dark or light: the system's choice unless the reader made one.

const KEY = "wearables-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

export function startTheme(button, onChange) {
  const chosen = localStorage.getItem(KEY);
  if (chosen) root.dataset.theme = chosen;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = dark() ? "Light theme" : "Dark theme";
    onChange();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, (root.dataset.theme = dark() ? "light" : "dark"));
    show();
  });
  system.addEventListener("change", show);
  show();
}
