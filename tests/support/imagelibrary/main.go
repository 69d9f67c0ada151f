// Command imagelibrary copies one image with the library that podman, skopeo, buildah and CRI-O are built on.
//
//	imagelibrary push CERTIFICATES LAYOUT:TAG HOST/NAME:TAG   from an OCI layout, layers as zstd:chunked
//	imagelibrary pull CERTIFICATES HOST/NAME:TAG NAME:TAG     into the storage that CONTAINERS_STORAGE_CONF names
package main

import (
	"context"
	"fmt"
	"os"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/pkg/compression"
	"go.podman.io/image/v5/signature"
	images "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

func main() {
	if reexec.Init() { // the storage unpacks layers in a child process
		return
	}
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "imagelibrary push|pull CERTIFICATES SOURCE DESTINATION")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb, certificates, from, to string) error {
	registry := &types.SystemContext{DockerCertPath: certificates}
	options := &copy.Options{SourceCtx: registry, DestinationCtx: registry, ReportWriter: os.Stdout}
	accept := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	policy, err := signature.NewPolicyContext(accept)
	if err != nil {
		return err
	}
	var source, destination types.ImageReference
	if verb == "push" {
		registry.CompressionFormat = &compression.ZstdChunked
		options.ForceCompressionFormat = true
		if source, err = layout.ParseReference(from); err != nil {
			return err
		}
		if destination, err = docker.ParseReference("//" + to); err != nil {
			return err
		}
	} else {
		settings, err := storage.DefaultStoreOptions()
		if err != nil {
			return err
		}
		store, err := storage.GetStore(settings)
		if err != nil {
			return err
		}
		defer store.Shutdown(false)
		if source, err = docker.ParseReference("//" + from); err != nil {
			return err
		}
		if destination, err = images.Transport.ParseStoreReference(store, to); err != nil {
			return err
		}
	}
	_, err = copy.Image(context.Background(), policy, destination, source, options)
	return err
}
