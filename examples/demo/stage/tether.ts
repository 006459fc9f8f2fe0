// Loaded into every worker before anything else. If the demo dies, its channel closes, and the worker stops as if it had
// been asked to. So no process outlives the demo.
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.channel?.unref()
