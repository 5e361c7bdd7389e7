// Package browser tests what people see in a real browser: Chromium, headless, shows the pages
// of an auditor and of a log that real programs serve. The tests are skipped where there is no
// Chromium (Debian: chromium), or for the check of accessibility no npm, or where go generate
// ./audit/page was not run. Begin with
// TestBrowser. The screenshots in docs/screenshots are made again by
//
//	go generate ./audit/page && go test ./bench/browser -run Screenshots -update
package browser
