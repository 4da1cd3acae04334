// what the page asks of its server; an error is the sentence that the server says

async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer; start itermask2 review again. What was saved is kept.");
  }
  if (answer.ok) return answer;
  const error = new Error((await answer.json().catch(() => ({}))).detail ?? `The server answers ${answer.status}.`);
  error.status = answer.status;
  throw error;
}

export const read = async address => (await asked(address)).json();

export const send = async (address, body) => (await asked(address, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
})).json();

/** The voxels of an unpacked NIfTI file of one byte per voxel. */
export async function readBytes(address) {
  const file = await (await asked(address)).arrayBuffer();
  return new Uint8Array(file, new DataView(file).getFloat32(108, true));
}

export const layer = (id, version, name) => `cases/${id}/versions/${version}/${name}.nii`;
