'use strict'

// Hands in finished messages as an application within Haraka does (docs/Outbound.md, "Generating Mail from a Plugin"): the dkim
// plugin signs them on the way to the queue. Routes everything to the sink, over TLS only.

const fs = require('node:fs')
const readline = require('node:readline')

const outbound = require('./outbound')

const env = process.env
// So many at a time are not yet queued; what is queued waits on disk.
const AT_ONCE = 50

exports.hook_init_master = function (next) {
    next()
    const wait = setInterval(() => {
        if (!fs.existsSync(`${env.PEER_DIR}/go`)) return
        clearInterval(wait)
        inject(this).catch((err) => this.logcrit(`inject: ${err.message}`))
    }, 20)
    fs.writeFileSync(`${env.PEER_DIR}/up`, '')
}

async function inject(plugin) {
    const lines = readline.createInterface({ input: fs.createReadStream(`${env.PEER_MESSAGES}/list`) })
    const pending = new Set()
    for await (const line of lines) {
        const [number, from, to] = line.split('\t')
        const contents = fs.readFileSync(`${env.PEER_MESSAGES}/${number}.eml`, 'latin1')
        const queued = new Promise((resolve) => {
            outbound.send_email(from, to, contents, (code, msg) => {
                if (code !== OK) plugin.logcrit(`not queued: ${msg}`)
                resolve()
            })
        }).then(() => pending.delete(queued))
        pending.add(queued)
        if (pending.size >= AT_ONCE) await Promise.race(pending)
    }
}

exports.hook_send_email = function (next, hmail) {
    hmail.todo.force_tls = true
    next()
}

exports.hook_get_mx = function (next) {
    // The name is what the certificate must prove.
    next(OK, { priority: 0, exchange: '127.0.0.1', port: Number(env.PEER_SINK_PORT), from_dns: env.PEER_SINK_HOST })
}
