// Where SwiftShader is, the Vulkan driver in software that browsers bring along (Debian: chromium and libvulkan1), for
// WebGPU on machines without a GPU. It opens nothing.

import { existsSync } from "node:fs";
import { join } from "node:path";

/** SwiftShader's driver description, for VK_DRIVER_FILES, if its library and a Vulkan loader are there too. */
export function softwareGpu(): string | undefined {
  const browsers = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"];
  const folder = browsers.find((each) =>
    ["vk_swiftshader_icd.json", "libvk_swiftshader.so"].every((file) => existsSync(join(each, file)))
  );
  const libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
  const loader = libraries.some((each) => existsSync(join(each, "libvulkan.so.1")));
  return folder !== undefined && loader ? join(folder, "vk_swiftshader_icd.json") : undefined;
}
