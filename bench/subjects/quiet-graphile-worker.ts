// graphile-worker reads it once, when it is loaded, so this file is imported before it. Without it a line is formatted and
// written for each job, which is most of the work. Its own performance test sets it too.
process.env['NO_LOG_SUCCESS'] = '1'
