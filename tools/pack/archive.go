// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"path"
)

// Archive is a release for people without pip: the binary and what must go with it, in one folder.
type Archive struct {
	Platform Platform
	Version  string
	Program  []byte
	Extra    []File // README, LICENSE and the like, in this order
}

// File is one file of an archive.
type File struct {
	Name string
	Data []byte
}

// folder is the only entry at the top of the archive.
func (a Archive) folder() string {
	return fmt.Sprintf("z4j-%s-%s-%s", a.Version, a.Platform.OS, a.Platform.Arch)
}

// Name is the archive's file name: zip for Windows, tar.gz elsewhere.
func (a Archive) Name() string {
	if a.Platform.OS == "windows" {
		return a.folder() + ".zip"
	}
	return a.folder() + ".tar.gz"
}

// Bytes returns the archive. Equal archives have equal bytes.
func (a Archive) Bytes() ([]byte, error) {
	if err := CheckProgram(a.Program, a.Platform); err != nil {
		return nil, err
	}
	files := append([]File{{a.Platform.Program(), a.Program}}, a.Extra...)
	var out bytes.Buffer
	var err error
	if a.Platform.OS == "windows" {
		err = writeZip(&out, a.folder(), files)
	} else {
		err = writeTar(&out, a.folder(), files)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", a.Name(), err)
	}
	return out.Bytes(), nil
}

func writeZip(out *bytes.Buffer, folder string, files []File) error {
	z := zip.NewWriter(out)
	for i, f := range files {
		if err := addZip(z, path.Join(folder, f.Name), f.Data, i == 0); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeTar gives every file to root, as an archive that is unpacked into /usr/local wants it, whoever builds it.
func writeTar(out *bytes.Buffer, folder string, files []File) error {
	g := gzip.NewWriter(out)
	t := tar.NewWriter(g)
	for i, f := range files {
		h := &tar.Header{
			Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: path.Join(folder, f.Name),
			Size: int64(len(f.Data)), Mode: int64(mode(i == 0)), ModTime: epoch, Uname: "root", Gname: "root",
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.Data); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return g.Close()
}
