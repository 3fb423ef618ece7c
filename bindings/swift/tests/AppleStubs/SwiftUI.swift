// The signatures of SwiftUI that examples/ios uses, simplified: for the type checker on Linux. It checks names, arguments and
// isolation of the example's own calls, not what SwiftUI makes of them.
import Foundation
@_exported import Observation
@_exported import UIKit

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder @MainActor @preconcurrency var body: Body { get }
}
extension Never: View { public var body: Never { return fatalError() } }
public protocol Leaf: View where Body == Never {}
extension Leaf { public var body: Never { return fatalError() } }
public struct EmptyView: Leaf { public init() {} }
public struct AnyPart: Leaf {}
extension Optional: View where Wrapped: View { public var body: Never { return fatalError() } }

@resultBuilder public enum ViewBuilder {
    public static func buildBlock<each Content: View>(_ content: repeat each Content) -> AnyPart { AnyPart() }
    public static func buildEither(first: some View) -> AnyPart { AnyPart() }
    public static func buildEither(second: some View) -> AnyPart { AnyPart() }
    public static func buildOptional(_ part: AnyPart?) -> AnyPart { AnyPart() }
    public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
}

@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    @MainActor @preconcurrency init()
    @MainActor @preconcurrency var body: Body { get }
}
extension App { public static func main() {} }
public protocol Scene {}
public struct WindowGroup<Content: View>: Scene { public init(@ViewBuilder content: () -> Content) {} }
extension Scene {
    public func onChange<V: Equatable>(of value: V, _ action: @escaping (V, V) -> Void) -> some Scene { self }
}

public enum ScenePhase: Sendable { case background, inactive, active }
public struct EnvironmentValues { public var scenePhase = ScenePhase.active }
@propertyWrapper @MainActor public struct Environment<Value> {
    public init(_ path: KeyPath<EnvironmentValues, Value>) { fatalError() }
    public var wrappedValue: Value { fatalError() }
}
@propertyWrapper @MainActor public struct State<Value> {
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
    public init(initialValue: Value) { wrappedValue = initialValue }
    public var wrappedValue: Value { get { fatalError() } nonmutating set {} }
    public var projectedValue: Binding<Value> { fatalError() }
}
@propertyWrapper public struct Binding<Value> {
    public init() {}
    public var wrappedValue: Value { get { fatalError() } nonmutating set {} }
    public var projectedValue: Binding<Value> { self }
}

public struct Text: Leaf { public init(_ text: some StringProtocol) {} }
public struct Label: Leaf { public init(_ title: some StringProtocol, systemImage: String) {} }
public struct ProgressView: Leaf { public init(_ title: some StringProtocol) {} }
public struct Button: Leaf {
    public init(_ title: some StringProtocol, action: @escaping @MainActor () -> Void) {}
}
public struct TextField: Leaf { public init(_ title: some StringProtocol, text: Binding<String>) {} }
public struct SecureField: Leaf { public init(_ title: some StringProtocol, text: Binding<String>) {} }
public struct Picker: Leaf {
    public init<Value: Hashable>(
        _ title: some StringProtocol, selection: Binding<Value>, @ViewBuilder content: () -> some View
    ) {}
}
public struct List: Leaf {
    public init<Data: RandomAccessCollection>(_ data: Data, @ViewBuilder row: @escaping (Data.Element) -> some View)
    where Data.Element: Identifiable {}
    public init(@ViewBuilder content: () -> some View) {}
}
public struct ForEach: Leaf {
    public init<Data: RandomAccessCollection>(_ data: Data, @ViewBuilder content: @escaping (Data.Element) -> some View)
    where Data.Element: Identifiable {}
    public init<Data: RandomAccessCollection, ID: Hashable>(
        _ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> some View) {}
}
public struct Section: Leaf { public init(_ title: some StringProtocol, @ViewBuilder content: () -> some View) {} }
public struct Form: Leaf { public init(@ViewBuilder content: () -> some View) {} }
public struct HStack: Leaf { public init(@ViewBuilder content: () -> some View) {} }
public enum HorizontalAlignment { case leading, center, trailing }
public struct VStack: Leaf {
    public init(alignment: HorizontalAlignment = .center, @ViewBuilder content: () -> some View) {}
}
public struct NavigationStack: Leaf { public init(@ViewBuilder root: () -> some View) {} }
public struct NavigationLink: Leaf {
    public init<Value: Hashable>(value: Value?, @ViewBuilder label: () -> some View) {}
}
public struct Font: Sendable { public static let caption = Font(), headline = Font() }

extension View {
    public func navigationTitle(_ title: some StringProtocol) -> some View { self }
    public func navigationDestination<Data: Hashable>(
        for data: Data.Type, @ViewBuilder destination: @escaping (Data) -> some View
    ) -> some View { self }
    public func toolbar(@ViewBuilder content: () -> some View) -> some View { self }
    public func font(_ font: Font?) -> some View { self }
    public func tag(_ value: some Hashable) -> some View { self }
    public func disabled(_ disabled: Bool) -> some View { self }
    public func task(_ action: @escaping @Sendable @MainActor () async -> Void) -> some View { self }
    public func alert(
        _ title: some StringProtocol, isPresented: Binding<Bool>, @ViewBuilder actions: () -> some View
    ) -> some View { self }
}
