// SPDX-License-Identifier: AGPL-3.0-or-later
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createQueryClient } from "./api/queries";
import { zoneName } from "./api/time";
import { createAppRouter, loadPage } from "./router";
import { applyTheme, savedTheme } from "./ui/theme";
import "./styles.css";

applyTheme(savedTheme());

const queryClient = createQueryClient(() => {
  const { pathname, href } = router.state.location;
  if (pathname === "/login" || pathname === "/setup") return;
  // First leave, then forget: pages still on screen would ask again for what is cleared.
  void router.navigate({ to: "/login", search: { next: href } }).then(() => queryClient.clear());
});
const router = createAppRouter(queryClient);

loadPage(router);
// The first use of a time zone takes some 50 ms, which pass here while the answers are on their way.
window.setTimeout(() => zoneName("local"), 0);

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element with id root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
