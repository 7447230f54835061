package main

import (
	"testing"

	"github.com/drawspan/drawspan/config/guide"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestTheVerdictOfTheGuideIsOne(t *testing.T) {
	if v, err := read(guide.Validator(t, "exec", "json")); err != nil || v.Outcome != sdk.Fail || len(v.Findings) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestTheExampleOfTheGuideIsAccepted(t *testing.T) {
	sdktest.Serve(t, manifest, program{}).Configure(t, guide.Config(t, guide.Validator(t, "exec", "hcl")))
}
