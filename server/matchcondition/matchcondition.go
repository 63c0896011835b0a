// Package matchcondition compiles the conditions, in CEL, by which webhooks choose the
// writes that they are asked about. Who checks a configuration and who carries
// it out must understand it alike.
package matchcondition

import (
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// compiler is made when the first expression is seen: that takes some megabytes.
var compiler = sync.OnceValue(func() cel.Compiler {
	return cel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
})

// variables are those besides object, oldObject and request.
var variables = cel.OptionalVariableDeclarations{HasAuthorizer: true}

// Check tells what is wrong with an expression, nil if nothing is. A stored one may use
// what only later versions let in.
func Check(expression string, stored bool) *apiservercel.Error {
	mode := environment.NewExpressions
	if stored {
		mode = environment.StoredExpressions
	}
	return compiler().CompileCELExpression(&matchconditions.MatchCondition{Expression: expression}, variables, mode).Error
}

// Compile makes a matcher of a webhook's conditions; kind is the webhook's, as metrics
// call it. One that does not compile makes each match fail.
func Compile(webhook, kind string, conditions []admissionv1.MatchCondition, policy admissionv1.FailurePolicyType) matchconditions.Matcher {
	results := make([]cel.CompilationResult, len(conditions))
	for i, c := range conditions {
		condition := &matchconditions.MatchCondition{Name: c.Name, Expression: c.Expression}
		results[i] = compiler().CompileCELExpression(condition, variables, environment.StoredExpressions)
	}
	return matchconditions.NewMatcher(cel.NewCondition(results), &policy, "webhook", kind, webhook)
}
