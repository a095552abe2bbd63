package main

import (
	"io"
	"net/http"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mewsbridge/bridge"
)

// newLog writes JSON, or lines for people when w is a terminal. Of the same message, from info on, it keeps the first 100 of each second
// and every hundredth after: a fault that repeats itself must not fill a disk. Who asks for debug gets every record. The level can be
// changed at any time.
func newLog(w io.Writer, level zap.AtomicLevel) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.TimeKey, config.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	config.MessageKey = "message"
	encoder := zapcore.NewJSONEncoder(config)
	if _, terminal := terminalWidth(w); terminal {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeLevel = zapcore.CapitalColorLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	}
	out := zapcore.Lock(zapcore.AddSync(w))
	debug := zapcore.NewCore(encoder, out, zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l < zap.InfoLevel && level.Enabled(l) }))
	rest := zapcore.NewCore(encoder.Clone(), out, zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= zap.InfoLevel && level.Enabled(l) }))
	return zap.New(zapcore.NewTee(debug, zapcore.NewSamplerWithOptions(rest, sampleTick, sampleFirst, sampleThereafter)))
}

// maxLevelBody is more than any request for a level takes.
const maxLevelBody = 1 << 10

// levelRoutes shows the log's level at /loglevel, and changes it by PUT: {"level":"debug"}.
func levelRoutes(level zap.AtomicLevel, log *zap.Logger) []bridge.AdminRoute {
	change := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := level.Level()
		r.Body = http.MaxBytesReader(w, r.Body, maxLevelBody)
		r.Header.Del("Content-Type") // curl -d says that it sends a form, and zap would look for one
		level.ServeHTTP(w, r)
		if after := level.Level(); after != before {
			log.Warn("log level changed", zap.Stringer("before", before), zap.Stringer("now", after))
		}
	})
	return []bridge.AdminRoute{
		{Path: "/loglevel", Handler: level},
		{Method: http.MethodPut, Path: "/loglevel", Handler: change},
	}
}
