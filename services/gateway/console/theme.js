// Light, dark, or as the system has it: set before the first paint, and changed by the switch. It draws nothing.

(() => {
  const name = "prospect-theme";
  const root = document.documentElement;
  const apply = (choice) => {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    else delete root.dataset.theme;
  };
  apply(localStorage.getItem(name));
  globalThis.prospectTheme = {
    /** "light", "dark" or "system". */
    get: () => root.dataset.theme ?? "system",
    set(choice) {
      localStorage.setItem(name, choice);
      apply(choice);
      // Plots are painted, not styled, so they have to hear of it.
      dispatchEvent(new Event("themechange"));
    },
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
})();
