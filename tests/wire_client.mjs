// A client of lossd written from docs/wire.md alone, for any JavaScript with fetch.
// node wire_client.mjs URL: computes a cross-entropy twice and prints both results as JSON.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const READERS = {
  F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  F64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  I64: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  BF16: { bytes: 2, read: (view, at) => bfloat16(view.getUint16(at, true)) },
};

function bfloat16(bits) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits << 16, true);
  return view.getFloat32(0, true);
}

function toBFloat16(x) {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, x, true);
  const bits = view.getUint32(0, true);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >>> 16; // to the nearest, ties to even
}

function write(tensors, fields) {
  const header = { __metadata__: {} };
  for (const [key, value] of Object.entries(fields)) {
    header.__metadata__[key] = JSON.stringify(value);
  }
  let size = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [size, size + data.byteLength] };
    size += data.byteLength;
  }
  const text = encoder.encode(JSON.stringify(header));
  const body = new Uint8Array(8 + text.length + size);
  new DataView(body.buffer).setBigUint64(0, BigInt(text.length), true);
  body.set(text, 8);
  for (const [name, { data }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    body.set(bytes, 8 + text.length + header[name].data_offsets[0]);
  }
  return body;
}

function read(buffer) {
  const view = new DataView(buffer);
  const start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__: texts, ...entries } = JSON.parse(decoder.decode(buffer.slice(8, start)));
  const answer = {};
  for (const [key, text] of Object.entries(texts)) answer[key] = JSON.parse(text);
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const { bytes, read } = READERS[dtype];
    const numbers = [];
    for (let at = data_offsets[0]; at < data_offsets[1]; at += bytes) {
      numbers.push(read(view, start + at));
    }
    answer[name] = shape.length === 0 ? numbers[0] : { dtype, shape, numbers };
  }
  return answer;
}

async function compute(loss, tensors, fields) {
  const answer = await fetch(`${process.argv[2]}/v1/losses/${loss}`, {
    method: "POST",
    headers: { "Content-Type": "application/vnd.safetensors" },
    body: write(tensors, fields),
  });
  if (!answer.ok) return await answer.json();
  return read(await answer.arrayBuffer());
}

const numbers = [2.0, 0.5, 0.1, 1.2];
const labels = { dtype: "I64", shape: [2], data: new BigInt64Array([0n, 1n]) };
const wide = { dtype: "F32", shape: [2, 2], data: new Float32Array(numbers) };
const narrow = { dtype: "BF16", shape: [2, 2], data: new Uint16Array(numbers.map(toBFloat16)) };
const fields = { params: { label_smoothing: 0.1 }, outputs: ["value", "rows", "gradients"] };

console.log(JSON.stringify({
  float32: await compute("cross_entropy", { logits: wide, labels }, fields),
  bfloat16: await compute("cross_entropy", { logits: narrow, labels }, fields),
  refused: await compute("cross_entropy", { logits: wide }, fields),
}));
