package cli

// nearest returns the candidate that takes the fewest edits to become name, if
// that is few enough to be what was meant.
func nearest(name string, candidates []string) (string, bool) {
	best, bestDistance := "", len(name)/2+1
	for _, c := range candidates {
		if d := editDistance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best, best != ""
}

func didYouMean(name string, candidates []string) string {
	return suggestion(name, candidates, func(c string) string { return c })
}

func didYouMeanFlag(name string, candidates []string) string {
	return suggestion(name, candidates, func(c string) string { return "--" + c })
}

// didYouMeanVariable suggests the variable of a flag.
func didYouMeanVariable(flag string, flags []string) string {
	return suggestion(flag, flags, func(c string) string { return env(c)[0] })
}

func suggestion(name string, candidates []string, write func(string) string) string {
	if c, ok := nearest(name, candidates); ok {
		return ", did you mean " + write(c) + "?"
	}
	return ""
}

// editDistance is the Levenshtein distance between a and b, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
