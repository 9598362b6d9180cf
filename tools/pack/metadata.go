// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	repository = "https://github.com/z4jdev/z4j"
	summary    = "The control plane for Python background jobs: watch and control Celery, RQ, Dramatiq, Huey, arq and TaskIQ"

	// agentRange is the line of agent packages that this brain speaks with; they are released on their own.
	agentRange = ">=1.13,<2"
	minPython  = "3.9"
)

// engines is the engine's agent with the adapter of the scheduler that is used with it, as in the extras of the framework packages.
var engines = map[string][]string{
	"arq":      {"z4j-arq", "z4j-arqcron"},
	"celery":   {"z4j-celery", "z4j-celerybeat"},
	"dramatiq": {"z4j-apscheduler", "z4j-dramatiq"},
	"huey":     {"z4j-huey", "z4j-hueyperiodic"},
	"rq":       {"z4j-rq", "z4j-rqscheduler"},
	"taskiq":   {"z4j-taskiq", "z4j-taskiqscheduler"},
}

var frameworks = map[string][]string{
	"bare":    {"z4j-bare"},
	"django":  {"z4j-django"},
	"fastapi": {"z4j-fastapi"},
	"flask":   {"z4j-flask"},
}

// Extras returns the packages of each extra of `pip install z4j[...]`, sorted. "all" is everything; "agents" is its older name.
func Extras() map[string][]string {
	extras := maps.Clone(engines)
	maps.Copy(extras, frameworks)
	var all []string
	for _, packages := range extras {
		all = append(all, packages...)
	}
	slices.Sort(all)
	extras["all"], extras["agents"] = all, all
	return extras
}

// releaseVersion is what both Go and Python take for a version and write the same way.
var releaseVersion = regexp.MustCompile(`^\d+\.\d+\.\d+((a|b|rc)\d+)?$`)

// relativeLink finds the target of a Markdown link that is no address and no heading of the page itself.
var relativeLink = regexp.MustCompile(`\]\(([^)#:]+)(#[^):]*)?\)`)

// metadata is the wheel's METADATA file (core metadata 2.4). The README's links into the repository are made absolute, because the
// package index shows it alone.
func metadata(version, readme string) (string, error) {
	if !releaseVersion.MatchString(version) {
		return "", fmt.Errorf("version %q is none that pip understands; write it like 1.14.0 or 1.14.0rc1", version)
	}
	var b strings.Builder
	field := func(name, value string) { fmt.Fprintf(&b, "%s: %s\n", name, value) }
	field("Metadata-Version", "2.4")
	field("Name", "z4j")
	field("Version", version)
	field("Summary", summary)
	field("License-Expression", "AGPL-3.0-or-later")
	field("License-File", "LICENSE")
	field("Keywords", "celery,rq,dramatiq,huey,arq,taskiq,tasks,queue,monitoring")
	field("Project-URL", "Source, "+repository)
	field("Project-URL", "Documentation, "+repository+"/blob/v"+version+"/docs/operations.md")
	field("Project-URL", "Changelog, "+repository+"/blob/v"+version+"/CHANGELOG.md")
	for _, classifier := range []string{
		"Environment :: Web Environment",
		"Intended Audience :: Developers",
		"Intended Audience :: System Administrators",
		"Programming Language :: Python :: 3",
		"Topic :: System :: Distributed Computing",
		"Topic :: System :: Monitoring",
	} {
		field("Classifier", classifier)
	}
	field("Requires-Python", ">="+minPython)
	extras := Extras()
	for _, extra := range slices.Sorted(maps.Keys(extras)) {
		field("Provides-Extra", extra)
		for _, name := range extras[extra] {
			field("Requires-Dist", fmt.Sprintf("%s%s; extra == %q", name, agentRange, extra))
		}
	}
	field("Description-Content-Type", "text/markdown; charset=UTF-8; variant=GFM")
	b.WriteString("\n")
	b.WriteString(relativeLink.ReplaceAllString(readme, "]("+repository+"/blob/v"+version+"/$1$2)"))
	return b.String(), nil
}
