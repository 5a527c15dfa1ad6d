// SPDX-License-Identifier: Apache-2.0

// Command hello is what runs in the pods of the tests: a server that keeps what it is sent in /data, its own client, and, called
// pause, the container that holds a pod together.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const file = "/data/kept"

func main() {
	var err error
	switch {
	case filepath.Base(os.Args[0]) == "pause":
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
		<-end
	case len(os.Args) == 3 && os.Args[1] == "get":
		err = get(os.Args[2])
	default:
		http.HandleFunc("/", serve)
		log.Println("hello listens")
		err = http.ListenAndServe(":8080", nil)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func get(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// serve keeps what comes after the slash, and tells what it has and who it is.
func serve(w http.ResponseWriter, r *http.Request) {
	err := os.WriteFile("/written", nil, 0o600)
	if text := strings.TrimPrefix(r.URL.Path, "/"); text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	kept, _ := os.ReadFile(file)
	fmt.Fprintf(w, "uid %d, root read-only %v, kept %q\n", os.Getuid(), errors.Is(err, syscall.EROFS), kept)
}
