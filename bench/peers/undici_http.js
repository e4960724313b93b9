// SPDX-License-Identifier: MIT

// undici beside http_client.c: `undici_http.js client-N PORT`. dispatch, its quickest interface,
// over a pool of N connections with one request under way on each.
'use strict'

const { Pool } = require(process.env.UNDICI || 'undici')

const [, , row, port] = process.argv
const atOnce = Number(row.split('-')[1])
const body = Buffer.from('0123456789abcdef'.repeat(8))
const warmUpMs = 200
const measuredMs = process.env.BENCH_QUICK ? 150 : 1500

const pool = new Pool(`http://127.0.0.1:${port}`, { connections: atOnce, pipelining: 1 })
const options = { path: '/', method: 'GET' }
let done = 0
let over = false

function fail(error) {
  console.error('bench:', error)
  process.exit(1)
}

class Handler {
  constructor() {
    this.chunks = []
    this.compared = false
    this.filled = 0
  }
  onConnect() {
    this.filled = 0
  }
  onHeaders(status) {
    if (status !== 200) fail(`status ${status}`)
    return true
  }
  onData(chunk) {
    this.filled += chunk.length
    if (!this.compared) this.chunks.push(Buffer.from(chunk))
    return true
  }
  onComplete() {
    if (!this.compared && Buffer.compare(Buffer.concat(this.chunks), body)) fail('another body')
    if (this.filled !== body.length) fail('a body that is too short')
    this.compared = true
    done++
    if (!over) pool.dispatch(options, this)
  }
  onError(error) {
    if (!over) fail(error)
  }
}

for (let i = 0; i < atOnce; i++) pool.dispatch(options, new Handler())

setTimeout(() => {
  const began = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  done = 0
  setTimeout(() => {
    const took = Number(process.hrtime.bigint() - began)
    const used = process.cpuUsage(cpu)
    over = true
    console.log(`${row} ${(done * 1e9) / took} requests/s`)
    console.log(`${row}-cpu ${((used.user + used.system) * 1e3) / done} ns`)
    process.exit(0)
  }, measuredMs)
}, warmUpMs)
