// SPDX-License-Identifier: AGPL-3.0-or-later

/** differing counts the pixels in which two pictures of the same size differ visibly. */
export async function differing(context, first, second) {
  if (first.equals(second)) return 0;
  const page = await context.newPage();
  const count = await page.evaluate(
    async (pictures) => {
      const [a, b] = await Promise.all(
        pictures.map(async (base64) => {
          const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
          const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
          const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
          canvas.drawImage(image, 0, 0);
          return canvas.getImageData(0, 0, image.width, image.height);
        }),
      );
      if (a.width !== b.width || a.height !== b.height) return Number.POSITIVE_INFINITY;
      let different = 0;
      for (let i = 0; i < a.data.length; i += 4)
        if (
          Math.abs(a.data[i] - b.data[i]) +
            Math.abs(a.data[i + 1] - b.data[i + 1]) +
            Math.abs(a.data[i + 2] - b.data[i + 2]) >
          24
        )
          different++;
      return different;
    },
    [first.toString("base64"), second.toString("base64")],
  );
  await page.close();
  return count;
}
