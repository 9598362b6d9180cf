// SPDX-License-Identifier: AGPL-3.0-or-later

// Package images holds the tests of what is shipped as containers: the image of deploy/Dockerfile and
// every compose file. scripts/images builds the images, makes the namespaces and runs them.
package images
