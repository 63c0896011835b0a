// Package normalize brings the scores of several plugins into the framework's
// range.
package normalize

import (
	"slices"

	"skiff/scheduler/framework"
)

// ToMax scales scores, in place, so that the highest becomes MaxScore; reversed,
// the highest becomes 0 and 0 becomes MaxScore.
func ToMax(scores []int64, reversed bool) {
	highest := int64(0)
	if len(scores) > 0 {
		highest = slices.Max(scores)
	}
	for i, s := range scores {
		if highest > 0 {
			s = framework.MaxScore * s / highest
		}
		if reversed {
			s = framework.MaxScore - s
		}
		scores[i] = s
	}
}
