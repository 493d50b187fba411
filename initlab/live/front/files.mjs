// Files of the site's own folder. Some are gzipped, so that the host need not compress.

/** The response of `address`, or an error that names the file. */
export async function get(address, how) {
  const name = address.pathname.split("/").at(-1);
  let response;
  try {
    response = await fetch(address, how);
  } catch {
    throw new Error(`${name} could not be loaded`);
  }
  if (!response.ok) throw new Error(`${name} could not be loaded (${response.status})`);
  return response;
}

/** The bytes of a gzipped file. */
export async function unzipped(address) {
  const response = await get(address);
  const bytes = response.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(bytes).arrayBuffer());
}
