// playwright-core, when it is imported, looks into /proc/sys to find out whether it runs under WSL, for opening browsers
// of the desktop, which nobody does here. Deno lets nobody look there without all permissions. Imported before it, this
// says that nobody needs to know.

Deno.env.set("__IS_WSL_TEST__", "1");
