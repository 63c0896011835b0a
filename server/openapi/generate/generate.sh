#!/bin/sh
# Writes server/openapi/docs. Run by "go generate ./server/openapi".
#
# openapi-gen turns the comments of the API types' sources into definitions, which
# the program in this directory combines with the table of resources. Both need
# modules that the product does not: they get a copy of go.mod of their own.
set -eu
cd "$(dirname "$0")/../../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp" server/openapi/generate/definitions' EXIT
cp go.mod go.sum "$tmp/"
: >"$tmp/header"
mkdir -p server/openapi/docs
[ -e server/openapi/docs/index.json ] || echo '{}' >server/openapi/docs/index.json

packages="k8s.io/api/autoscaling/v2 k8s.io/api/scheduling/v1alpha3
	k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/api/resource
	k8s.io/apimachinery/pkg/util/intstr k8s.io/apimachinery/pkg/version
	k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1 k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
for group in core apps batch autoscaling networking policy rbac storage scheduling coordination discovery events \
	certificates admissionregistration authentication authorization flowcontrol node resource storagemigration; do
	packages="$packages k8s.io/api/$group/v1"
done

# shellcheck disable=SC2086
go run -modfile="$tmp/go.mod" -mod=mod k8s.io/kube-openapi/cmd/openapi-gen \
	--go-header-file "$tmp/header" --output-file zz_generated.openapi.go --report-filename /dev/null \
	--output-dir server/openapi/generate/definitions --output-pkg skiff/server/openapi/generate/definitions \
	$packages
go run -modfile="$tmp/go.mod" -mod=mod -tags openapigen ./server/openapi/generate \
	-dir server/openapi/docs -gomod go.mod
